//! Every key an agent's configuration may hold: those of Consul 1.8 and of every version since.
//! A key that is not here is a mistake in the file; a key that is here and has no effect is told once at start.

use std::collections::HashMap;

/// What may stand under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A text such as `10s`.
    Duration,
    Bool,
    Number,
    Float,
    Texts,
    TextMap,
    DurationMap,
    /// Not looked into.
    Any,
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Used,
    /// Switches off what is not there anyhow, or on what always is: nothing to do, nothing to say.
    Met,
    /// Taken, so that a file written for Consul can be used as it is; told in one line of the log.
    Later,
    /// Speaks of a part of Consul that has no counterpart here. Told likewise, with the reason.
    Moot(&'static str),
    /// Asks for a protection that is not there. Going on without it would be a hole, so the agent does not start.
    Refused(&'static str),
}

use Kind::{Any, Bool, Duration, DurationMap, Float, Number, Text, TextMap, Texts};
use Role::{Later, Met, Moot, Refused, Used};

const GOSSIP: &str = "agents do not gossip here";
const RAFT: &str = "nothing elects a leader or replicates a log here";
const RPC: &str = "agents speak the HTTP API here, there is no RPC port";
const ONE: &str = "there is one datacenter";
const ENTERPRISE: &str = "it belongs to Consul Enterprise";
const CLOUD: &str = "nothing is sent to others here";
const FIXED: &str = "it is not for configuration files here";
const NO_AUTO_CONFIG: &str = "automatic configuration from a server is not there yet";

/// Keys of blocks are written with dots. One row holds all keys of a role and a kind.
const TABLE: &[(Role, Kind, &str)] = &[
    (
        Used,
        Text,
        "\
        acl.default_policy acl.down_policy acl.tokens.agent acl.tokens.agent_recovery \
        acl.tokens.config_file_service_registration acl.tokens.default acl.tokens.dns acl.tokens.initial_management \
        acl.tokens.replication addresses.dns addresses.grpc addresses.http addresses.https advertise_addr \
        advertise_addr_ipv4 advertise_addr_ipv6 advertise_addr_wan advertise_addr_wan_ipv4 advertise_addr_wan_ipv6 \
        alt_domain bind_addr client_addr connect.ca_provider data_dir datacenter default_intention_policy \
        dns_config.recursor_strategy domain log_file log_level node_id node_name pid_file primary_datacenter segment \
        telemetry.dogstatsd_addr telemetry.metrics_prefix telemetry.statsd_address tls.defaults.ca_file \
        tls.defaults.ca_path tls.defaults.cert_file tls.defaults.key_file tls.defaults.tls_cipher_suites \
        tls.defaults.tls_min_version tls.grpc.ca_file tls.grpc.ca_path tls.grpc.cert_file tls.grpc.key_file \
        tls.grpc.tls_cipher_suites tls.grpc.tls_min_version tls.https.ca_file tls.https.ca_path tls.https.cert_file \
        tls.https.key_file tls.https.tls_cipher_suites tls.https.tls_min_version ui_config.content_path \
        ui_config.dir unix_sockets.group unix_sockets.mode unix_sockets.user",
    ),
    (
        Used,
        Duration,
        "\
        acl.policy_ttl acl.role_ttl acl.token_ttl check_update_interval default_query_time dns_config.cache_max_age \
        dns_config.max_stale dns_config.node_ttl dns_config.recursor_timeout limits.https_handshake_timeout \
        log_rotate_duration max_query_time session_ttl_min telemetry.prometheus_retention_time",
    ),
    (
        Used,
        Bool,
        "\
        acl.enable_key_list_policy acl.enable_token_persistence acl.enable_token_replication bootstrap \
        connect.enabled disable_remote_exec discard_check_output dns_config.allow_stale \
        dns_config.disable_compression dns_config.enable_additional_node_meta_txt dns_config.enable_truncate \
        dns_config.only_passing dns_config.use_cache enable_agent_tls_for_checks enable_central_service_config \
        enable_debug enable_local_script_checks enable_script_checks leave_on_terminate log_json server \
        skip_leave_on_interrupt telemetry.disable_hostname telemetry.filter_default tls.defaults.verify_incoming \
        tls.grpc.verify_incoming tls.https.verify_incoming ui_config.enabled",
    ),
    (
        Used,
        Number,
        "\
        bootstrap_expect check_output_max_size dns_config.a_record_limit dns_config.soa.expire \
        dns_config.soa.min_ttl dns_config.soa.refresh dns_config.soa.retry dns_config.udp_answer_limit \
        http_config.max_header_bytes limits.http_max_conns_per_client limits.kv_max_value_size \
        limits.txn_max_req_len log_rotate_bytes log_rotate_max_files ports.dns ports.expose_max_port \
        ports.expose_min_port ports.grpc ports.grpc_tls ports.http ports.https ports.serf_lan ports.serf_wan \
        ports.server ports.sidecar_max_port ports.sidecar_min_port",
    ),
    (
        Used,
        Texts,
        "\
        http_config.allow_write_http_from http_config.block_endpoints recursors retry_join retry_join_wan \
        telemetry.dogstatsd_tags telemetry.prefix_filter",
    ),
    (Used, TextMap, "http_config.response_headers node_meta tagged_addresses"),
    (Used, DurationMap, "dns_config.service_ttl"),
    // Our own: where a server keeps its facts.
    (Used, Texts, "etcd.endpoints"),
    (Used, Text, "etcd.prefix"),
    (Used, Number, "raft_snapshot_threshold"),
    (Used, Any, "connect.ca_config segments watches"),
    (
        Met,
        Bool,
        "\
        disable_anonymous_signature disable_coordinates disable_host_node_id disable_keyring_file \
        disable_update_check",
    ),
    (Moot(GOSSIP), Text, "encrypt serf_lan serf_wan"),
    (
        Moot(GOSSIP),
        Duration,
        "\
        advertise_reconnect_timeout gossip_lan.gossip_interval gossip_lan.probe_interval gossip_lan.probe_timeout \
        gossip_wan.gossip_interval gossip_wan.probe_interval gossip_wan.probe_timeout reconnect_timeout \
        reconnect_timeout_wan retry_interval retry_interval_wan sync_coordinate_interval_min",
    ),
    (Moot(GOSSIP), Bool, "encrypt_verify_incoming encrypt_verify_outgoing rejoin_after_leave"),
    (
        Moot(GOSSIP),
        Number,
        "\
        gossip_lan.gossip_nodes gossip_lan.retransmit_mult gossip_lan.suspicion_mult gossip_wan.gossip_nodes \
        gossip_wan.retransmit_mult gossip_wan.suspicion_mult protocol retry_max retry_max_wan",
    ),
    (Moot(GOSSIP), Float, "sync_coordinate_rate_target"),
    (Moot(GOSSIP), Texts, "serf_lan_allowed_cidrs serf_wan_allowed_cidrs"),
    (Moot(RAFT), Text, "autopilot.redundancy_zone_tag autopilot.upgrade_version_tag raft_logstore.backend"),
    (
        Moot(RAFT),
        Duration,
        "\
        autopilot.last_contact_threshold autopilot.server_stabilization_time raft_logstore.verification.interval \
        raft_snapshot_interval",
    ),
    (
        Moot(RAFT),
        Bool,
        "\
        autopilot.cleanup_dead_servers autopilot.disable_upgrade_migration raft_logstore.boltdb.no_freelist_sync \
        raft_logstore.disable_log_cache raft_logstore.verification.enabled raft_prevote_disabled read_replica",
    ),
    (
        Moot(RAFT),
        Number,
        "\
        autopilot.max_trailing_logs autopilot.min_quorum performance.raft_multiplier \
        raft_logstore.wal.segment_size_mb raft_protocol raft_trailing_logs",
    ),
    (
        Moot(RPC),
        Text,
        "\
        limits.request_limits.mode server_name tls.internal_rpc.ca_file tls.internal_rpc.ca_path \
        tls.internal_rpc.cert_file tls.internal_rpc.key_file tls.internal_rpc.tls_cipher_suites \
        tls.internal_rpc.tls_min_version",
    ),
    (
        Moot(RPC),
        Duration,
        "\
        limits.rpc_client_timeout limits.rpc_handshake_timeout performance.grpc_keepalive_interval \
        performance.grpc_keepalive_timeout performance.rpc_hold_timeout",
    ),
    (
        Moot(RPC),
        Bool,
        "\
        auto_encrypt.allow_tls auto_encrypt.tls http_config.use_cache rpc.enable_streaming \
        tls.defaults.verify_outgoing tls.https.verify_outgoing tls.internal_rpc.verify_incoming \
        tls.internal_rpc.verify_outgoing tls.internal_rpc.verify_server_hostname use_streaming_backend",
    ),
    (Moot(RPC), Number, "cache.entry_fetch_max_burst limits.rpc_max_burst limits.rpc_max_conns_per_client"),
    (
        Moot(RPC),
        Float,
        "\
        cache.entry_fetch_rate cache.entry_fetch_rate_limit limits.request_limits.read_rate \
        limits.request_limits.write_rate limits.rpc_rate",
    ),
    (Moot(RPC), Texts, "auto_encrypt.dns_san auto_encrypt.ip_san"),
    (Moot(ONE), Duration, "discovery_max_stale primary_gateways_interval"),
    (Moot(ONE), Bool, "connect.enable_mesh_gateway_wan_federation translate_wan_addrs"),
    (Moot(ONE), Texts, "primary_gateways"),
    (Moot(ENTERPRISE), Text, "license_path partition"),
    (
        Moot(ENTERPRISE),
        Duration,
        "\
        license_poll_base_time license_poll_max_time license_update_base_time license_update_max_time \
        reporting.snapshot_retention_time",
    ),
    (
        Moot(ENTERPRISE),
        Bool,
        "\
        acl.msp_disable_bootstrap audit.enabled connect.enable_serverless_plugin dns_config.prefer_namespace \
        reporting.license.enabled",
    ),
    (Moot(ENTERPRISE), Number, "segment_limit segment_name_limit"),
    (Moot(ENTERPRISE), Any, "acl.tokens.managed_service_provider audit.sink sentinel snapshot_agent"),
    (
        Moot(CLOUD),
        Text,
        "\
        cloud.auth_url cloud.client_id cloud.client_secret cloud.hostname cloud.node_id cloud.node_name \
        cloud.resource_id cloud.scada_address telemetry.circonus_api_app telemetry.circonus_api_token \
        telemetry.circonus_api_url telemetry.circonus_broker_id telemetry.circonus_broker_select_tag \
        telemetry.circonus_check_display_name telemetry.circonus_check_force_metric_activation \
        telemetry.circonus_check_id telemetry.circonus_check_instance_id telemetry.circonus_check_search_tag \
        telemetry.circonus_check_tags telemetry.circonus_submission_interval telemetry.circonus_submission_url",
    ),
    (Moot(FIXED), Text, "build_date revision version version_metadata version_prerelease"),
    (
        Moot(FIXED),
        Duration,
        "\
        acl.disabled_ttl ae_interval check_deregister_interval_min check_reap_interval \
        connect.test_ca_leaf_root_change_spread",
    ),
    (
        Moot(FIXED),
        Bool,
        "\
        peering.test_allow_peer_registrations tls.defaults.verify_server_hostname tls.grpc.verify_outgoing \
        tls.grpc.verify_server_hostname tls.https.verify_server_hostname tls_prefer_server_cipher_suites",
    ),
    (Moot(FIXED), Number, "ports.proxy_max_port ports.proxy_min_port"),
    (Moot(FIXED), Any, "consul"),
    (
        Later,
        Text,
        "\
        auto_config.authorization.static.bound_issuer auto_config.authorization.static.clock_skew_leeway \
        auto_config.authorization.static.expiration_leeway auto_config.authorization.static.jwks_ca_cert \
        auto_config.authorization.static.jwks_url auto_config.authorization.static.not_before_leeway \
        auto_config.authorization.static.oidc_discovery_ca_cert auto_config.authorization.static.oidc_discovery_url \
        auto_config.intro_token auto_config.intro_token_file locality.region locality.zone syslog_facility \
        telemetry.statsite_address ui_config.metrics_provider ui_config.metrics_provider_options_json",
    ),
    (Later, Duration, "performance.leave_drain_time"),
    (
        Later,
        Bool,
        "\
        auto_config.authorization.enabled auto_config.authorization.static.allow_reuse auto_reload_config \
        disable_http_unprintable_char_filter enable_syslog peering.enabled \
        telemetry.disable_per_tenancy_usage_metrics telemetry.enable_host_metrics telemetry.retry_failed_connection \
        tls.grpc.use_auto_cert",
    ),
    (Later, Float, "xds.update_max_per_second"),
    (
        Later,
        Texts,
        "\
        auto_config.authorization.static.bound_audiences auto_config.authorization.static.claim_assertions \
        auto_config.authorization.static.jwt_supported_algs auto_config.authorization.static.jwt_validation_pub_keys \
        auto_config.dns_sans auto_config.ip_sans auto_config.server_addresses experiments \
        ui_config.metrics_provider_files",
    ),
    (
        Later,
        TextMap,
        "\
        auto_config.authorization.static.claim_mappings auto_config.authorization.static.list_claim_mappings \
        log_sublevels ui_config.dashboard_url_templates",
    ),
    (Later, Any, "ui_config.metrics_proxy"),
    (Used, Bool, "acl.enabled"),
    (Refused(NO_AUTO_CONFIG), Bool, "auto_config.enabled"),
];

/// Old names and what they are called since. They are read as the new one, which counts where both are given.
pub(super) const RENAMED: &[(&str, &str)] = &[
    ("acl.tokens.agent_master", "acl.tokens.agent_recovery"),
    ("acl.tokens.master", "acl.tokens.initial_management"),
    ("acl_agent_master_token", "acl.tokens.agent_recovery"),
    ("acl_agent_token", "acl.tokens.agent"),
    ("acl_datacenter", "primary_datacenter"),
    ("acl_default_policy", "acl.default_policy"),
    ("acl_disabled_ttl", "acl.disabled_ttl"),
    ("acl_down_policy", "acl.down_policy"),
    ("acl_enable_key_list_policy", "acl.enable_key_list_policy"),
    ("acl_master_token", "acl.tokens.initial_management"),
    ("acl_replication_token", "acl.tokens.replication"),
    ("acl_token", "acl.tokens.default"),
    ("acl_ttl", "acl.token_ttl"),
    ("ca_file", "tls.defaults.ca_file"),
    ("ca_path", "tls.defaults.ca_path"),
    ("cert_file", "tls.defaults.cert_file"),
    ("enable_acl_replication", "acl.enable_token_replication"),
    ("key_file", "tls.defaults.key_file"),
    ("non_voting_server", "read_replica"),
    ("raft_boltdb.no_freelist_sync", "raft_logstore.boltdb.no_freelist_sync"),
    ("start_join", "retry_join"),
    ("start_join_wan", "retry_join_wan"),
    ("tls_cipher_suites", "tls.defaults.tls_cipher_suites"),
    ("tls_min_version", "tls.defaults.tls_min_version"),
    ("ui", "ui_config.enabled"),
    ("ui_content_path", "ui_config.content_path"),
    ("ui_dir", "ui_config.dir"),
    ("verify_incoming", "tls.defaults.verify_incoming"),
    ("verify_incoming_https", "tls.https.verify_incoming"),
    ("verify_incoming_rpc", "tls.internal_rpc.verify_incoming"),
    ("verify_outgoing", "tls.defaults.verify_outgoing"),
    ("verify_server_hostname", "tls.internal_rpc.verify_server_hostname"),
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
                keys.add(path, *kind, *role);
            }
        }
        for (old, new) in RENAMED {
            if let Some((_, kind, role)) = keys.leaf(new) {
                keys.add(old, kind, role);
            }
        }
        keys
    }

    fn add(&mut self, path: &'static str, kind: Kind, role: Role) {
        self.leaves.insert(path, (kind, role));
        let mut end = path.len();
        loop {
            let (block, name) = path[..end].rsplit_once('.').unwrap_or(("", &path[..end]));
            let names = self.children.entry(block).or_default();
            if !names.contains(&name) {
                names.push(name);
            }
            if block.is_empty() {
                return;
            }
            end = block.len();
        }
    }

    /// The canonical names inside a block; `None` when the path is no block.
    pub fn inside(&self, block: &str) -> Option<&[&'static str]> {
        self.children.get(block).map(Vec::as_slice)
    }

    pub fn leaf(&self, path: &str) -> Option<(&'static str, Kind, Role)> {
        self.leaves.get_key_value(path).map(|(path, (kind, role))| (*path, *kind, *role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::flags::FLAGS;

    #[test]
    fn a_key_has_one_row_and_a_flag_has_a_key() {
        let keys = Keys::new();
        let rows: usize = TABLE.iter().map(|(_, _, paths)| paths.split_ascii_whitespace().count()).sum();
        assert_eq!(rows + RENAMED.len(), keys.leaves.len(), "a key stands in two rows");
        for (old, new) in RENAMED {
            assert!(keys.leaf(new).is_some(), "{old} is now {new}, which is not in the table");
        }
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
