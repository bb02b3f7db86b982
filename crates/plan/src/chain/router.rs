//! Routers: the first node of a chain, or none.

use model::{HttpMatch, RouteDestination, RouteMatch, ServiceRoute};

use super::{ChainError, ChainNode, ChainRoute, Compiler, NAMESPACE, Work};

impl Compiler<'_> {
    pub(super) fn router_node(&mut self, service: &str) -> Result<Option<String>, ChainError> {
        let Some(router) = self.entries.routers.get(&service.to_lowercase()).filter(|_| self.advanced) else {
            return Ok(None);
        };
        self.uses_advanced = true;
        self.meet(service)?;
        let mut routes = Vec::with_capacity(router.routes.len() + 1);
        for route in &router.routes {
            let destination = route.destination.as_ref();
            let named = destination.map(|d| d.service.as_str()).filter(|name| !name.is_empty()).unwrap_or(service);
            let next_node = match destination.map(|d| d.service_subset.as_str()).unwrap_or_default() {
                "" => self.splitter_or_resolver_node(named)?,
                // A subset is wanted and nothing else: its splitter is not asked.
                subset => {
                    let target = self.target(named).with_subset(subset);
                    self.resolver_node(target, false)?
                }
            };
            routes.push(ChainRoute { definition: route.clone(), next_node });
        }
        let next_node = self.splitter_or_resolver_node(service)?;
        routes.push(ChainRoute { definition: catch_all(service), next_node });
        let node = ChainNode::new(format!("{service}.{NAMESPACE}"), Work::Routes(routes));
        let key = node.key();
        self.nodes.insert(key.clone(), node);
        Ok(Some(key))
    }
}

fn catch_all(service: &str) -> ServiceRoute {
    let http = HttpMatch { path_prefix: "/".to_owned(), ..HttpMatch::default() };
    let destination = RouteDestination {
        service: service.to_owned(),
        namespace: NAMESPACE.to_owned(),
        ..RouteDestination::default()
    };
    ServiceRoute { r#match: Some(RouteMatch { http: Some(http) }), destination: Some(destination) }
}
