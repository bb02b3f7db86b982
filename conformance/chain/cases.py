"""What is written before a chain is asked for, by name. A step is one of

  a config entry           PUT /v1/config
  "kind/name"              DELETE /v1/config/kind/name
  ("service", asked)       GET /v1/discovery-chain/service; POST with `asked` when there is something to ask

`recorded.json` has the answer of a real Consul 1.8.7 to every step.
"""
CASES = {}


def case(name, *steps):
    assert name not in CASES, name
    CASES[name] = list(steps)


def chain(service="main", dc=None, **asked):
    return (service, dict(asked, dc=dc) if dc else asked)


def proxy(**config):
    mode = config.pop("mode", None)
    entry = {"Kind": "proxy-defaults", "Name": "global", "Config": config}
    return dict(entry, MeshGateway={"Mode": mode}) if mode else entry


def service(name, protocol=None, **more):
    entry = dict({"Kind": "service-defaults", "Name": name}, **more)
    return dict(entry, Protocol=protocol) if protocol else entry


def router(name, *routes):
    return {"Kind": "service-router", "Name": name, "Routes": list(routes)}


def route(prefix=None, **destination):
    match = destination.pop("match", {"PathPrefix": prefix} if prefix else None)
    out = {"Match": {"HTTP": match}} if match else {}
    return dict(out, Destination=destination) if destination else out


def splitter(name, *splits):
    return {"Kind": "service-splitter", "Name": name, "Splits": list(splits)}


def split(weight, service=None, subset=None):
    out = {"Weight": weight}
    if service:
        out["Service"] = service
    if subset:
        out["ServiceSubset"] = subset
    return out


def resolver(name, **more):
    return dict({"Kind": "service-resolver", "Name": name}, **more)


def subsets(*names, **more):
    return dict({"Subsets": {n: {"Filter": "Service.Meta.version == %s" % n} for n in names}}, **more)


HTTP = proxy(protocol="http")
MAIN = service("main", "http")

# --- no entries, defaults, protocols
case("nothing at all", chain())
case("protocol of service-defaults", MAIN, chain())
case("protocol of proxy-defaults", HTTP, chain())
case("service-defaults over proxy-defaults", HTTP, service("main", "grpc"), chain())
case("protocol in capitals", service("main", "HTTP2"), chain())
case("a protocol nobody knows", service("main", "sctp"), chain())
case("proxy-defaults without a protocol", proxy(x=1), chain())
case("protocol of proxy-defaults that is no text", proxy(protocol=5), chain())
case("service-defaults without a protocol take the proxy-defaults'", HTTP, service("main"), chain())
case("mesh gateway of proxy-defaults", proxy(mode="remote"), chain())
case("mesh gateway of service-defaults", proxy(mode="remote"), service("main", MeshGateway={"Mode": "local"}), chain())
case("external sni of the default resolver", service("main", ExternalSNI="main.some.other.service.mesh"), chain())
case("name in capitals", service("Main", "http"), chain("Main"), chain("main"))

# --- resolvers
case("an empty resolver", resolver("main"), chain())
case("connect timeout", resolver("main", ConnectTimeout="33s"), chain())
case("connect timeout below a second", resolver("main", ConnectTimeout="250ms"), chain())
case("default subset", resolver("main", DefaultSubset="v2", **subsets("v1", "v2")), chain())
case("subsets without a default", resolver("main", **subsets("v1", "v2")), chain())
case("only passing", resolver("main", DefaultSubset="v1", Subsets={"v1": {"OnlyPassing": True}}), chain())
case("redirect to a service", resolver("main", Redirect={"Service": "other"}), chain(), chain("other"))
case("redirect to a subset", resolver("other", **subsets("v1", "v2")),
     resolver("main", Redirect={"Service": "other", "ServiceSubset": "v2"}), chain())
case("redirect to another datacenter", resolver("main", Redirect={"Datacenter": "dc9"}), chain())
case("redirect to another datacenter with mesh gateways", proxy(mode="remote"),
     resolver("main", Redirect={"Datacenter": "dc9"}), chain())
case("redirect to a service in another datacenter", resolver("main", Redirect={"Service": "other", "Datacenter": "dc9"}),
     resolver("other", ConnectTimeout="9s"), chain())
case("redirect twice", resolver("main", Redirect={"Service": "b"}), resolver("b", Redirect={"Service": "c"}), chain())
case("redirect to the default subset", resolver("other", DefaultSubset="v1", **subsets("v1")),
     resolver("main", Redirect={"Service": "other"}), chain())
case("redirect to oneself", resolver("main", Redirect={"Service": "main"}), chain())
case("redirect in a circle", resolver("main", Redirect={"Service": "other"}),
     resolver("other", Redirect={"Service": "main"}), chain())
case("redirect to a missing subset", resolver("other", **subsets("v1")),
     resolver("main", Redirect={"Service": "other", "ServiceSubset": "v3"}), chain())
case("redirect to a service whose resolver has a timeout", resolver("main", ConnectTimeout="7s", Redirect={"Service": "other"}),
     resolver("other", ConnectTimeout="9s"), chain())
case("redirect crosses protocols", service("main", "grpc"), service("other", "http"),
     resolver("main", Redirect={"Service": "other"}), chain())
case("redirect to this datacenter", resolver("main", Redirect={"Service": "other", "Datacenter": "dc1"}), chain())
case("external sni with subsets", service("main", ExternalSNI="x.mesh"), resolver("main", **subsets("v1")), chain())
case("external sni with a redirect", service("main", ExternalSNI="x.mesh"),
     resolver("main", Redirect={"Datacenter": "dc2"}), chain())
case("external sni with a failover", service("main", ExternalSNI="x.mesh"),
     resolver("main", Failover={"*": {"Service": "backup"}}), chain())
case("external sni with a timeout", service("main", ExternalSNI="x.mesh"), resolver("main", ConnectTimeout="33s"), chain())
case("external sni of the service redirected to", service("other", ExternalSNI="x.mesh"),
     resolver("main", Redirect={"Service": "other"}), chain())

# --- failover
case("failover to a service", resolver("main", Failover={"*": {"Service": "backup"}}), chain())
case("failover to datacenters", resolver("main", Failover={"*": {"Datacenters": ["dc2", "dc4"]}}), chain())
case("failover to datacenters with mesh gateways", proxy(mode="local"),
     resolver("main", Failover={"*": {"Datacenters": ["dc2", "dc4"]}}), chain())
case("failover to a service in datacenters", resolver("main", Failover={"*": {"Service": "backup", "Datacenters": ["dc2", "dc4"]}}), chain())
case("failover to a subset", resolver("main", Failover={"*": {"ServiceSubset": "backup"}}, **subsets("backup")), chain())
case("failover to a service and subset", resolver("backup", **subsets("v1")),
     resolver("main", Failover={"*": {"Service": "backup", "ServiceSubset": "v1"}}), chain())
case("failover of one subset", resolver("main", DefaultSubset="v1", Failover={"v1": {"Datacenters": ["dc2"]}}, **subsets("v1", "v2")), chain())
case("failover of a subset over that of all", resolver("main", DefaultSubset="v1",
     Failover={"v1": {"Datacenters": ["dc2"]}, "*": {"Datacenters": ["dc3"]}}, **subsets("v1", "v2")), chain())
case("failover through a redirect", resolver("actual", ConnectTimeout="9s"), resolver("backup", Redirect={"Service": "actual"}),
     resolver("main", Failover={"*": {"Service": "backup"}}), chain())
case("failover in a circle", resolver("main", Failover={"*": {"Service": "backup"}}),
     resolver("backup", Failover={"*": {"Service": "main"}}), chain(), chain("backup"))
case("failover to oneself", resolver("main", Failover={"*": {"Datacenters": ["dc1"]}}), chain())
case("failover to a service with a failover", resolver("main", Failover={"*": {"Service": "b"}}),
     resolver("b", Failover={"*": {"Service": "c"}}), chain())
case("failover to a missing subset", resolver("backup", **subsets("v1")),
     resolver("main", Failover={"*": {"Service": "backup", "ServiceSubset": "v9"}}), chain())
case("failover crosses protocols", service("main", "grpc"), service("backup", "http"),
     resolver("main", Failover={"*": {"Service": "backup"}}), chain())
case("failover after a redirect", resolver("main", Redirect={"Service": "other"}),
     resolver("other", Failover={"*": {"Service": "backup"}}), chain())

# --- splitters
SPLIT = (MAIN, resolver("main", **subsets("v1", "v2")), splitter("main", split(60, subset="v1"), split(40, subset="v2")))
case("subset split", *SPLIT, chain())
case("split of nothing", MAIN, splitter("main", split(100)), chain())
case("split with the protocol of proxy-defaults", HTTP, splitter("main", split(100)), chain())
case("split of nothing with a resolver", MAIN, splitter("main", split(100)), resolver("main", ConnectTimeout="33s"), chain())
case("split of nothing to a default subset", MAIN, resolver("main", DefaultSubset="v2", **subsets("v1", "v2")),
     splitter("main", split(100)), chain())
case("service split", HTTP, splitter("main", split(60, "foo"), split(40, "bar")), chain())
case("split by a third", HTTP, splitter("main", split(33.33, "a"), split(33.33, "b"), split(33.34, "c")), chain())
case("split bypasses the next splitter", HTTP, resolver("next", DefaultSubset="a", **subsets("a", "b")),
     splitter("main", split(100, "next", "b")), splitter("next", split(50, subset="a"), split(50, subset="b")), chain())
case("split of splits", HTTP, resolver("main", **subsets("v1", "v2")), splitter("next", split(50, "x"), split(50, "y")),
     splitter("main", split(60, "next"), split(40, subset="v1")), chain())
case("split of splits of splits", HTTP, splitter("c", split(10, "x"), split(90, "y")), splitter("b", split(25, "c"), split(75, "z")),
     splitter("main", split(40, "b"), split(60, "w")), chain())
case("split in a circle", HTTP, splitter("main", split(50), split(50, "next")), splitter("next", split(50), split(50, "main")), chain())
case("split without a protocol", splitter("main", split(100)), chain())
case("split on grpc", service("main", "grpc"), splitter("main", split(100)), chain())
case("split to another protocol", MAIN, service("other", "tcp"), splitter("main", split(90), split(10, "other")), chain())
case("split to a missing subset", MAIN, splitter("main", split(100, subset="v1")), chain())
case("split to one that redirects", HTTP, resolver("next", Redirect={"Service": "actual"}),
     splitter("main", split(50), split(50, "next")), chain())
case("split weights of zero", HTTP, splitter("main", split(0, "a"), split(100, "b")), chain())
case("split with failover", HTTP, resolver("main", Failover={"*": {"Service": "backup"}}, **subsets("v1", "v2")),
     splitter("main", split(60, subset="v1"), split(40, subset="v2")), chain())
case("split of a splitter in another case", HTTP, splitter("main", split(100, "Next")), chain())

# --- routers
case("router of nothing", MAIN, router("main"), chain())
case("router with a route of nothing", MAIN, router("main", {}), chain())
case("router without a destination", MAIN, router("main", route("/x")), chain())
case("router to a service", HTTP, router("main", route("/x", Service="x"), route("/y", Service="y")), chain())
case("router with the protocol of proxy-defaults", HTTP, router("main", route("/x")), chain())
case("router with a resolver", MAIN, router("main"), resolver("main", ConnectTimeout="33s"), chain())
case("router with a split of nothing", MAIN, router("main"), splitter("main", split(100)), chain())
case("router with a split of nothing and a resolver", MAIN, router("main"), splitter("main", split(100)),
     resolver("main", ConnectTimeout="33s"), chain())
case("route bypasses the splitter", HTTP, resolver("other", **subsets("bypass")), splitter("other", split(100, "unreached")),
     router("main", route("/bypass", Service="other", ServiceSubset="bypass"), route("/split", Service="other")), chain())
case("route to oneself by a subset", HTTP, resolver("main", **subsets("v1")), router("main", route("/v1", ServiceSubset="v1")), chain())
case("route with everything", HTTP, router("main", {"Match": {"HTTP": {
     "PathExact": "/e", "Header": [{"Name": "h", "Exact": "1", "Invert": True}, {"Name": "p", "Present": True}],
     "QueryParam": [{"Name": "q", "Regex": "^a"}, {"Name": "r", "Present": True}], "Methods": ["GET", "PUT"]}},
     "Destination": {"Service": "x", "PrefixRewrite": "/r", "RequestTimeout": "90s", "NumRetries": 5,
                     "RetryOnConnectFailure": True, "RetryOnStatusCodes": [503, 504]}}), chain())
case("route by regular expression", HTTP, router("main", route(Service="x", match={"PathRegex": "^/a.*"})), chain())
case("router without a protocol", router("main"), chain())
case("router on tcp", service("main", "tcp"), router("main"), chain())
case("route to another protocol", MAIN, service("other", "tcp"), router("main", route("/x", Service="other")), chain())
case("route to a missing subset", HTTP, router("main", route("/x", ServiceSubset="nope")), chain())
case("a catch-all of its own", HTTP, router("main", route("/", Service="x")), chain())
case("routes to the same service", HTTP, router("main", route("/a", Service="x"), route("/b", Service="x")), chain())
case("route to one with a router", HTTP, router("other", route("/o", Service="x")), router("main", route("/m", Service="other")), chain())
case("route to one that redirects", HTTP, resolver("other", Redirect={"Service": "actual"}), router("main", route("/m", Service="other")), chain())
case("route to another namespace", HTTP, router("main", route("/m", Service="x", Namespace="default")), chain())

# --- all together
case("all the bells and whistles", HTTP,
     resolver("main", DefaultSubset="default-subset", Subsets={n: {"Filter": "Service.Meta.version == %s" % n} for n in ("default-subset", "prod", "qa")}),
     router("svc-router"), resolver("svc-redirect", Redirect={"Service": "svc-redirect-again"}),
     resolver("svc-redirect-again", Redirect={"Service": "redirected"}),
     splitter("svc-split", split(60, "svc-redirect"), split(40, "svc-split-again")),
     splitter("svc-split-again", split(75, "main", "prod"), split(25, "svc-split-one-more-time")),
     splitter("svc-split-one-more-time", split(80, "main"), split(20, "main", "qa")),
     router("main", route("/", Service="svc-split")), chain(), chain("svc-split"), chain("svc-redirect"))
case("canary across datacenters", HTTP, resolver("main-dc2", Redirect={"Service": "main", "Datacenter": "dc2"}),
     splitter("main", split(60), split(40, "main-dc2")), resolver("main", ConnectTimeout="33s"), chain())

# --- what is asked with the service
case("asked for another protocol", MAIN, chain(OverrideProtocol="grpc"), chain(OverrideProtocol="HTTP"), chain(OverrideProtocol="tcp"))
case("asked for tcp: no routes, no splits", *SPLIT, router("main", route("/x", Service="x")), service("x", "http"),
     chain(OverrideProtocol="tcp"), chain(OverrideProtocol="http2"))
case("asked for a timeout", resolver("main", ConnectTimeout="33s", Failover={"*": {"Service": "b"}}),
     chain(OverrideConnectTimeout="8s"), chain(OverrideConnectTimeout=8000000000), chain(OverrideConnectTimeout="33s"))
case("asked for a mesh gateway", proxy(mode="local"), resolver("main", Failover={"*": {"Datacenters": ["dc2"]}}),
     chain(OverrideMeshGateway={"Mode": "remote"}), chain(OverrideMeshGateway={"Mode": "local"}), chain(OverrideMeshGateway={"Mode": "none"}),
     chain(OverrideMeshGateway={"Mode": "bogus"}))
case("asked for everything", MAIN, chain(OverrideProtocol="grpc", OverrideConnectTimeout="8s", OverrideMeshGateway={"Mode": "none"}))
case("asked in snake case", MAIN, chain(override_protocol="grpc", override_connect_timeout="8s", override_mesh_gateway={"mode": "none"}))
case("asked for what is not there", chain(Bogus=1), chain(OverrideConnectTimeout="x"), chain(OverrideProtocol=5))
case("asked as of another datacenter", resolver("main", Redirect={"Service": "other"}), chain(dc="dc7"),
     chain("other", dc="dc7"))

# --- writes and removals that would break a chain
case("removal of the protocol a splitter needs", *SPLIT, "service-defaults/main", chain())
case("removal of the subsets a splitter needs", *SPLIT, "service-resolver/main", chain())
case("removal of the proxy-defaults a router needs", HTTP, router("main", route("/x", Service="x")), "proxy-defaults/global", chain())
case("another protocol under a splitter", *SPLIT, service("main", "tcp"), service("main", "grpc"), chain())
case("another protocol of a destination", HTTP, router("main", route("/x", Service="x")), service("x", "tcp"), chain())
case("removal in order", *SPLIT, "service-splitter/main", "service-resolver/main", "service-defaults/main", chain())
case("a subset less under a redirect", resolver("other", **subsets("v1", "v2")),
     resolver("main", Redirect={"Service": "other", "ServiceSubset": "v2"}), resolver("other", **subsets("v1")), chain())
case("external sni under a resolver", resolver("main", **subsets("v1")), service("main", ExternalSNI="x.mesh"), chain())
case("proxy-defaults of another protocol under a router", HTTP, router("main"), proxy(protocol="tcp"), chain())
case("removal of what is not there", "service-resolver/nobody", "service-router/nobody", "proxy-defaults/global")
GATEWAY = {"Kind": "ingress-gateway", "Name": "igw",
           "Listeners": [{"Port": 8080, "Protocol": "http", "Services": [{"Name": "main"}]}]}
case("an ingress listener of another protocol", GATEWAY, MAIN, GATEWAY, service("main", "tcp"), "service-defaults/main", chain())
case("an ingress listener for everybody", HTTP, dict(GATEWAY, Listeners=[{"Port": 80, "Protocol": "http", "Services": [{"Name": "*"}]}]),
     service("other", "tcp"), "proxy-defaults/global")
