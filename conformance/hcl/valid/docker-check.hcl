check { name = "a" docker_container_id = "x" args = ["true"] interval = "1s" }
