//! Every key an agent's configuration may hold: Consul 1.8's, and those of newer versions that files of today carry.
//! A key that is not here is a mistake in the file; a key that is here and has no effect yet is told once at start.

use std::collections::HashMap;

/// What may stand under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool,
    Number,
    Texts,
    TextMap,
    /// Not looked into.
    Any,
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Used,
    /// Taken, so that a file written for Consul can be used as it is; told in one line of the log.
    NoEffect,
    /// Asks for a protection that there is nothing to apply to, or that is not there yet while nothing worse follows
    /// than what the file's author already lives with on that port. Said at start, with the reason.
    Loud(&'static str),
    /// Asks for a protection that is not there. Going on without it would be a hole, so the agent does not start.
    Refused(&'static str),
}

use Kind::{Any, Bool, Number, Text, TextMap, Texts};
use Role::{Loud, NoEffect, Refused, Used};

const NO_ACL: &str = "access control is not there yet, and an agent that ignored it would let everybody do everything";
const NO_TLS: &str =
    "the HTTP API does not speak TLS yet, and an agent that ignored this would check nobody's certificate";
const NO_RPC: &str = "agents have no RPC port here, so there is nothing to verify";
const NO_GOSSIP: &str = "agents do not gossip here, so there is nothing to encrypt";
const NO_FILE: &str = "the API does not speak TLS yet; the mesh's own certificates come from its own authority";

/// Keys of blocks are written with dots. One row holds all keys of a role and a kind.
const TABLE: &[(Role, Kind, &str)] = &[
    (
        Used,
        Text,
        "\
        acl.default_policy acl_default_policy addresses.dns addresses.grpc addresses.http addresses.https \
        advertise_addr advertise_addr_ipv4 bind_addr check_update_interval client_addr connect.ca_provider \
        data_dir datacenter default_query_time domain log_file log_level max_query_time node_id \
        node_name pid_file telemetry.dogstatsd_addr telemetry.metrics_prefix telemetry.prometheus_retention_time \
        telemetry.statsd_address ui_content_path ui_dir",
    ),
    (
        Used,
        Bool,
        "\
        bootstrap connect.enabled enable_local_script_checks enable_script_checks log_json server \
        telemetry.disable_hostname telemetry.filter_default ui",
    ),
    (
        Used,
        Number,
        "\
        bootstrap_expect check_output_max_size ports.dns ports.expose_max_port ports.expose_min_port ports.grpc \
        ports.http ports.https ports.serf_lan ports.serf_wan ports.server ports.sidecar_max_port \
        ports.sidecar_min_port",
    ),
    (
        Used,
        Texts,
        "\
        retry_join retry_join_wan start_join start_join_wan telemetry.dogstatsd_tags telemetry.prefix_filter",
    ),
    (
        Used,
        TextMap,
        "\
        node_meta tagged_addresses",
    ),
    (
        Used,
        Any,
        "\
        connect.ca_config",
    ),
    (
        NoEffect,
        Text,
        "\
        acl.disabled_ttl acl.down_policy acl.policy_ttl acl.role_ttl acl.token_ttl acl.tokens.agent \
        acl.tokens.agent_master acl.tokens.default acl.tokens.master acl.tokens.replication \
        acl_agent_master_token acl_agent_token acl_disabled_ttl acl_down_policy acl_master_token \
        acl_replication_token acl_token acl_ttl advertise_addr_ipv6 advertise_addr_wan advertise_addr_wan_ipv4 \
        advertise_addr_wan_ipv6 \
        ae_interval alt_domain auto_config.authorization.static.bound_issuer \
        auto_config.authorization.static.clock_skew_leeway auto_config.authorization.static.expiration_leeway \
        auto_config.authorization.static.jwks_ca_cert auto_config.authorization.static.jwks_url \
        auto_config.authorization.static.not_before_leeway \
        auto_config.authorization.static.oidc_discovery_ca_cert \
        auto_config.authorization.static.oidc_discovery_url auto_config.intro_token auto_config.intro_token_file \
        autopilot.last_contact_threshold autopilot.redundancy_zone_tag autopilot.server_stabilization_time \
        autopilot.upgrade_version_tag check_deregister_interval_min check_reap_interval \
        connect.test_ca_leaf_root_change_spread discovery_max_stale dns_config.cache_max_age \
        dns_config.max_stale dns_config.node_ttl dns_config.recursor_timeout gossip_lan.gossip_interval \
        gossip_lan.probe_interval gossip_lan.probe_timeout gossip_wan.gossip_interval gossip_wan.probe_interval \
        gossip_wan.probe_timeout limits.https_handshake_timeout limits.rpc_handshake_timeout log_rotate_duration \
        performance.leave_drain_time performance.rpc_hold_timeout primary_datacenter primary_gateways_interval \
        raft_snapshot_interval reconnect_timeout reconnect_timeout_wan retry_interval retry_interval_wan \
        segment serf_lan serf_wan server_name session_ttl_min sync_coordinate_interval_min \
        syslog_facility telemetry.circonus_api_app telemetry.circonus_api_token telemetry.circonus_api_url \
        telemetry.circonus_broker_id telemetry.circonus_broker_select_tag telemetry.circonus_check_display_name \
        telemetry.circonus_check_force_metric_activation telemetry.circonus_check_id \
        telemetry.circonus_check_instance_id telemetry.circonus_check_search_tag telemetry.circonus_check_tags \
        telemetry.circonus_submission_interval telemetry.circonus_submission_url telemetry.statsite_address \
        unix_sockets.group unix_sockets.mode unix_sockets.user revision version version_prerelease",
    ),
    (
        NoEffect,
        Bool,
        "\
        acl.enable_key_list_policy acl.enable_token_persistence acl.enable_token_replication \
        acl.msp_disable_bootstrap acl_enable_key_list_policy auto_config.authorization.enabled \
        auto_config.authorization.static.allow_reuse autopilot.cleanup_dead_servers \
        autopilot.disable_upgrade_migration connect.enable_mesh_gateway_wan_federation \
        disable_anonymous_signature disable_coordinates disable_host_node_id \
        disable_http_unprintable_char_filter disable_keyring_file disable_remote_exec disable_update_check \
        discard_check_output dns_config.allow_stale dns_config.disable_compression \
        dns_config.enable_additional_node_meta_txt dns_config.enable_truncate dns_config.only_passing \
        dns_config.prefer_namespace dns_config.use_cache enable_acl_replication enable_central_service_config \
        enable_debug enable_syslog http_config.use_cache leave_on_terminate non_voting_server rejoin_after_leave \
        skip_leave_on_interrupt translate_wan_addrs",
    ),
    (
        NoEffect,
        Number,
        "\
        autopilot.max_trailing_logs autopilot.min_quorum cache.entry_fetch_max_burst cache.entry_fetch_rate \
        dns_config.a_record_limit dns_config.soa.expire dns_config.soa.min_ttl dns_config.soa.refresh \
        dns_config.soa.retry dns_config.udp_answer_limit gossip_lan.gossip_nodes gossip_lan.retransmit_mult \
        gossip_lan.suspicion_mult gossip_wan.gossip_nodes gossip_wan.retransmit_mult gossip_wan.suspicion_mult \
        limits.http_max_conns_per_client limits.kv_max_value_size limits.rpc_max_burst \
        limits.rpc_max_conns_per_client limits.rpc_rate limits.txn_max_req_len log_rotate_bytes \
        log_rotate_max_files performance.raft_multiplier ports.proxy_max_port ports.proxy_min_port protocol \
        raft_protocol raft_snapshot_threshold raft_trailing_logs retry_max retry_max_wan segment_limit \
        segment_name_limit sync_coordinate_rate_target",
    ),
    (
        NoEffect,
        Texts,
        "\
        acl.tokens.managed_service_provider auto_config.authorization.static.bound_audiences \
        auto_config.authorization.static.claim_assertions auto_config.authorization.static.jwt_supported_algs \
        auto_config.authorization.static.jwt_validation_pub_keys auto_config.dns_sans auto_config.ip_sans \
        auto_config.server_addresses auto_encrypt.dns_san auto_encrypt.ip_san primary_gateways recursors \
        serf_lan_allowed_cidrs serf_wan_allowed_cidrs",
    ),
    (
        NoEffect,
        TextMap,
        "\
        auto_config.authorization.static.claim_mappings auto_config.authorization.static.list_claim_mappings \
        dns_config.service_ttl http_config.response_headers",
    ),
    (
        NoEffect,
        Any,
        "\
        audit.sink consul segments snapshot_agent watches",
    ),
    // Our own: where a server keeps its facts.
    (Used, Texts, "etcd.endpoints"),
    (Used, Text, "etcd.prefix"),
    // Newer than Consul 1.8.
    (Used, Text, "default_intention_policy ui_config.dir ui_config.content_path"),
    (Used, Bool, "ui_config.enabled"),
    (Used, Number, "ports.grpc_tls"),
    (
        NoEffect,
        Text,
        "\
        acl.tokens.agent_recovery acl.tokens.config_file_service_registration acl.tokens.dns \
        acl.tokens.initial_management license_path ui_config.metrics_provider ui_config.metrics_provider_options_json",
    ),
    (
        NoEffect,
        Bool,
        "\
        auto_reload_config peering.enabled read_replica rpc.enable_streaming use_streaming_backend",
    ),
    (NoEffect, Number, "limits.request_limits.read_rate limits.request_limits.write_rate"),
    (NoEffect, Texts, "experiments ui_config.metrics_provider_files"),
    (NoEffect, Any, "raft_logstore reporting ui_config.dashboard_url_templates ui_config.metrics_proxy"),
    // Protections.
    (Loud(NO_GOSSIP), Text, "encrypt"),
    (Loud(NO_GOSSIP), Bool, "encrypt_verify_incoming encrypt_verify_outgoing"),
    (
        Loud(NO_RPC),
        Bool,
        "\
        auto_encrypt.allow_tls auto_encrypt.tls tls.internal_rpc.verify_server_hostname verify_incoming_rpc \
        tls.internal_rpc.verify_incoming tls.internal_rpc.verify_outgoing verify_outgoing verify_server_hostname",
    ),
    (
        Loud(NO_FILE),
        Text,
        "\
        ca_file ca_path cert_file key_file tls_cipher_suites tls_min_version tls.defaults.ca_file tls.defaults.ca_path \
        tls.defaults.cert_file tls.defaults.key_file tls.defaults.tls_min_version tls.defaults.tls_cipher_suites \
        tls.https.ca_file tls.https.ca_path tls.https.cert_file tls.https.key_file tls.grpc.ca_file tls.grpc.cert_file \
        tls.grpc.key_file tls.internal_rpc.ca_file tls.internal_rpc.cert_file tls.internal_rpc.key_file",
    ),
    (Loud(NO_FILE), Bool, "enable_agent_tls_for_checks tls_prefer_server_cipher_suites tls.defaults.verify_outgoing"),
    (Refused(NO_ACL), Bool, "acl.enabled"),
    (Refused(NO_ACL), Text, "acl_datacenter"),
    (
        Refused(NO_TLS),
        Bool,
        "\
        tls.defaults.verify_incoming tls.grpc.verify_incoming tls.https.verify_incoming verify_incoming \
        verify_incoming_https",
    ),
    (Refused("the API cannot close single endpoints yet"), Texts, "http_config.block_endpoints"),
    (Refused("the API cannot tell callers by their network yet"), Texts, "http_config.allow_write_http_from"),
    (Refused("the audit log is not there yet"), Bool, "audit.enabled"),
    (Refused("automatic configuration from a server is not there yet"), Bool, "auto_config.enabled"),
];

/// The table, ready for reading a tree block by block.
pub(super) struct Keys {
    /// From a block's path (empty: the top) to the names in it.
    children: HashMap<&'static str, Vec<&'static str>>,
    leaves: HashMap<&'static str, (Kind, Role)>,
}

impl Keys {
    pub fn new() -> Self {
        let mut keys = Self { children: HashMap::new(), leaves: HashMap::new() };
        for (role, kind, paths) in TABLE {
            for path in paths.split_ascii_whitespace() {
                keys.leaves.insert(path, (*kind, *role));
                let mut end = path.len();
                loop {
                    let (block, name) = path[..end].rsplit_once('.').unwrap_or(("", &path[..end]));
                    let names = keys.children.entry(block).or_default();
                    if !names.contains(&name) {
                        names.push(name);
                    }
                    if block.is_empty() {
                        break;
                    }
                    end = block.len();
                }
            }
        }
        keys
    }

    /// The canonical names inside a block; `None` when the path is no block.
    pub fn inside(&self, block: &str) -> Option<&[&'static str]> {
        self.children.get(block).map(Vec::as_slice)
    }

    pub fn leaf(&self, path: &str) -> Option<(&'static str, Kind, Role)> {
        self.leaves.get_key_value(path).map(|(path, (kind, role))| (*path, *kind, *role))
    }
}

/// Flags of `agent` (without dashes) and the key each sets.
pub(super) const FLAGS: &[(&str, &str)] = &[
    ("advertise", "advertise_addr"),
    ("advertise-wan", "advertise_addr_wan"),
    ("allow-write-http-from", "http_config.allow_write_http_from"),
    ("alt-domain", "alt_domain"),
    ("bind", "bind_addr"),
    ("bootstrap", "bootstrap"),
    ("bootstrap-expect", "bootstrap_expect"),
    ("check_output_max_size", "check_output_max_size"),
    ("client", "client_addr"),
    ("data-dir", "data_dir"),
    ("datacenter", "datacenter"),
    ("default-query-time", "default_query_time"),
    ("disable-host-node-id", "disable_host_node_id"),
    ("disable-keyring-file", "disable_keyring_file"),
    ("dns-port", "ports.dns"),
    ("domain", "domain"),
    ("enable-local-script-checks", "enable_local_script_checks"),
    ("enable-script-checks", "enable_script_checks"),
    ("encrypt", "encrypt"),
    ("etcd", "etcd.endpoints"),
    ("grpc-port", "ports.grpc"),
    ("http-port", "ports.http"),
    ("https-port", "ports.https"),
    ("join", "start_join"),
    ("join-wan", "start_join_wan"),
    ("log-file", "log_file"),
    ("log-json", "log_json"),
    ("log-level", "log_level"),
    ("log-rotate-bytes", "log_rotate_bytes"),
    ("log-rotate-duration", "log_rotate_duration"),
    ("log-rotate-max-files", "log_rotate_max_files"),
    ("max-query-time", "max_query_time"),
    ("node", "node_name"),
    ("node-id", "node_id"),
    ("node-meta", "node_meta"),
    ("non-voting-server", "non_voting_server"),
    ("pid-file", "pid_file"),
    ("primary-gateway", "primary_gateways"),
    ("protocol", "protocol"),
    ("raft-protocol", "raft_protocol"),
    ("recursor", "recursors"),
    ("rejoin", "rejoin_after_leave"),
    ("retry-interval", "retry_interval"),
    ("retry-interval-wan", "retry_interval_wan"),
    ("retry-join", "retry_join"),
    ("retry-join-wan", "retry_join_wan"),
    ("retry-max", "retry_max"),
    ("retry-max-wan", "retry_max_wan"),
    ("segment", "segment"),
    ("serf-lan-allowed-cidrs", "serf_lan_allowed_cidrs"),
    ("serf-lan-bind", "serf_lan"),
    ("serf-lan-port", "ports.serf_lan"),
    ("serf-wan-allowed-cidrs", "serf_wan_allowed_cidrs"),
    ("serf-wan-bind", "serf_wan"),
    ("serf-wan-port", "ports.serf_wan"),
    ("server", "server"),
    ("server-port", "ports.server"),
    ("syslog", "enable_syslog"),
    ("ui", "ui"),
    ("ui-content-path", "ui_content_path"),
    ("ui-dir", "ui_dir"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_row_and_a_flag_has_a_key() {
        let keys = Keys::new();
        let rows: usize = TABLE.iter().map(|(_, _, paths)| paths.split_ascii_whitespace().count()).sum();
        assert_eq!(rows, keys.leaves.len(), "a key stands in two rows");
        for path in keys.leaves.keys() {
            assert!(keys.inside(path).is_none(), "{path} is a key and a block");
        }
        for (flag, key) in FLAGS {
            assert!(keys.leaf(key).is_some(), "-{flag} sets {key}, which is not in the table");
        }
        assert!(keys.inside("").is_some_and(|names| names.contains(&"telemetry")));
        assert!(keys.inside("acl.tokens").is_some_and(|names| names.contains(&"agent")));
    }
}
