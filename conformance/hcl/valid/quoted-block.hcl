"service" { "name" = "a" }
