config_entries {
  bootstrap = [
    { kind = "proxy-defaults" name = "global" config { protocol = "http" envoy_dogstatsd_url = "udp://127.0.0.1:9125" } },
    { Kind = "service-defaults" Name = "web" Protocol = "http" MeshGateway { Mode = "local" } },
    { kind = "service-splitter" name = "web" splits = [{ weight = 50 service_subset = "v1" }, { weight = 50 service_subset = "v2" }] },
    { kind = "service-resolver" name = "web" default_subset = "v1" connect_timeout = "5s" subsets { "v1" { filter = "Service.Meta.version == v1" } "v2" { filter = "Service.Meta.version == v2" } } },
  ]
}
