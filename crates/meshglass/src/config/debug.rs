//! `DebugConfig` of `/v1/agent/self`: what the agent goes by, under the names of Consul's runtime configuration.
//!
//! Tools read it to find out what an agent was told, so it has every name, also where a setting has no effect here.

use api::listen::Endpoint;
use model::{format_duration, parse_duration};
use serde_json::{Map, Value as Json, json};

use super::given::Value;
use super::keys::Kind;
use super::meant::Config;
use super::reading::Reading;

/// Name, key, and the value of an agent that was not told (in JSON). A dot in a name is an object in it.
const ROWS: &[(&str, &str, &str)] = &[
    ("ACLAgentMasterToken", "acl.tokens.agent_recovery", "\"\""),
    ("ACLAgentToken", "acl.tokens.agent", "\"\""),
    ("ACLDefaultPolicy", "acl.default_policy", "\"allow\""),
    ("ACLDisabledTTL", "acl.disabled_ttl", "\"2m0s\""),
    ("ACLDownPolicy", "acl.down_policy", "\"extend-cache\""),
    ("ACLEnableKeyListPolicy", "acl.enable_key_list_policy", "false"),
    ("ACLEnableTokenPersistence", "acl.enable_token_persistence", "false"),
    ("ACLMasterToken", "acl.tokens.initial_management", "\"\""),
    ("ACLPolicyTTL", "acl.policy_ttl", "\"30s\""),
    ("ACLReplicationToken", "acl.tokens.replication", "\"\""),
    ("ACLRoleTTL", "acl.role_ttl", "\"0s\""),
    ("ACLToken", "acl.tokens.default", "\"\""),
    ("ACLTokenReplication", "acl.enable_token_replication", "false"),
    ("ACLTokenTTL", "acl.token_ttl", "\"30s\""),
    ("ACLsEnabled", "acl.enabled", "false"),
    ("AEInterval", "ae_interval", "\"1m0s\""),
    ("AllowWriteHTTPFrom", "http_config.allow_write_http_from", "[]"),
    ("AutoConfig.DNSSANs", "auto_config.dns_sans", "[]"),
    ("AutoConfig.Enabled", "auto_config.enabled", "false"),
    ("AutoConfig.IPSANs", "auto_config.ip_sans", "[]"),
    ("AutoConfig.IntroToken", "auto_config.intro_token", "\"\""),
    ("AutoConfig.IntroTokenFile", "auto_config.intro_token_file", "\"\""),
    ("AutoConfig.ServerAddresses", "auto_config.server_addresses", "[]"),
    ("AutoEncryptAllowTLS", "auto_encrypt.allow_tls", "false"),
    ("AutoEncryptDNSSAN", "auto_encrypt.dns_san", "[]"),
    ("AutoEncryptIPSAN", "auto_encrypt.ip_san", "[]"),
    ("AutoEncryptTLS", "auto_encrypt.tls", "false"),
    ("AutopilotCleanupDeadServers", "autopilot.cleanup_dead_servers", "true"),
    ("AutopilotDisableUpgradeMigration", "autopilot.disable_upgrade_migration", "false"),
    ("AutopilotLastContactThreshold", "autopilot.last_contact_threshold", "\"200ms\""),
    ("AutopilotMaxTrailingLogs", "autopilot.max_trailing_logs", "250"),
    ("AutopilotMinQuorum", "autopilot.min_quorum", "0"),
    ("AutopilotRedundancyZoneTag", "autopilot.redundancy_zone_tag", "\"\""),
    ("AutopilotServerStabilizationTime", "autopilot.server_stabilization_time", "\"10s\""),
    ("AutopilotUpgradeVersionTag", "autopilot.upgrade_version_tag", "\"\""),
    ("CAFile", "tls.defaults.ca_file", "\"\""),
    ("CAPath", "tls.defaults.ca_path", "\"\""),
    ("Cache.EntryFetchMaxBurst", "cache.entry_fetch_max_burst", "2"),
    ("Cache.EntryFetchRate", "cache.entry_fetch_rate", "1.7976931348623157e+308"),
    ("CertFile", "tls.defaults.cert_file", "\"\""),
    ("CheckDeregisterIntervalMin", "check_deregister_interval_min", "\"1m0s\""),
    ("CheckOutputMaxSize", "check_output_max_size", "4096"),
    ("CheckReapInterval", "check_reap_interval", "\"30s\""),
    ("CheckUpdateInterval", "check_update_interval", "\"5m0s\""),
    ("ConnectCAConfig", "connect.ca_config", "{}"),
    ("ConnectCAProvider", "connect.ca_provider", "\"\""),
    ("ConnectMeshGatewayWANFederationEnabled", "connect.enable_mesh_gateway_wan_federation", "false"),
    ("ConnectTestCALeafRootChangeSpread", "connect.test_ca_leaf_root_change_spread", "\"0s\""),
    ("ConsulCoordinateUpdateBatchSize", "", "128"),
    ("ConsulCoordinateUpdateMaxBatches", "", "5"),
    ("ConsulCoordinateUpdatePeriod", "", "\"5s\""),
    ("ConsulRaftElectionTimeout", "", "\"5s\""),
    ("ConsulRaftHeartbeatTimeout", "", "\"5s\""),
    ("ConsulRaftLeaderLeaseTimeout", "", "\"2.5s\""),
    ("ConsulServerHealthInterval", "", "\"2s\""),
    ("DNSARecordLimit", "dns_config.a_record_limit", "0"),
    ("DNSAllowStale", "dns_config.allow_stale", "true"),
    ("DNSAltDomain", "alt_domain", "\"\""),
    ("DNSCacheMaxAge", "dns_config.cache_max_age", "\"0s\""),
    ("DNSDisableCompression", "dns_config.disable_compression", "false"),
    ("DNSDomain", "domain", "\"consul.\""),
    ("DNSEnableTruncate", "dns_config.enable_truncate", "false"),
    ("DNSMaxStale", "dns_config.max_stale", "\"87600h0m0s\""),
    ("DNSNodeMetaTXT", "dns_config.enable_additional_node_meta_txt", "true"),
    ("DNSNodeTTL", "dns_config.node_ttl", "\"0s\""),
    ("DNSOnlyPassing", "dns_config.only_passing", "false"),
    ("DNSRecursorStrategy", "dns_config.recursor_strategy", "\"sequential\""),
    ("DNSRecursorTimeout", "dns_config.recursor_timeout", "\"2s\""),
    ("DNSRecursors", "recursors", "[]"),
    ("DNSSOA.Expire", "dns_config.soa.expire", "86400"),
    ("DNSSOA.Minttl", "dns_config.soa.min_ttl", "0"),
    ("DNSSOA.Refresh", "dns_config.soa.refresh", "3600"),
    ("DNSSOA.Retry", "dns_config.soa.retry", "600"),
    ("DNSServiceTTL", "dns_config.service_ttl", "{}"),
    ("DNSUDPAnswerLimit", "dns_config.udp_answer_limit", "3"),
    ("DNSUseCache", "dns_config.use_cache", "false"),
    ("DefaultQueryTime", "default_query_time", "\"5m0s\""),
    ("DisableAnonymousSignature", "disable_anonymous_signature", "true"),
    ("DisableCoordinates", "disable_coordinates", "false"),
    ("DisableHTTPUnprintableCharFilter", "disable_http_unprintable_char_filter", "false"),
    ("DisableHostNodeID", "disable_host_node_id", "true"),
    ("DisableKeyringFile", "disable_keyring_file", "true"),
    ("DisableRemoteExec", "disable_remote_exec", "true"),
    ("DisableUpdateCheck", "disable_update_check", "false"),
    ("DiscardCheckOutput", "discard_check_output", "false"),
    ("DiscoveryMaxStale", "discovery_max_stale", "\"0s\""),
    ("EnableAgentTLSForChecks", "enable_agent_tls_for_checks", "false"),
    ("EnableCentralServiceConfig", "", "true"),
    ("EnableLocalScriptChecks", "enable_local_script_checks", "false"),
    ("EnableRemoteScriptChecks", "enable_script_checks", "false"),
    ("EncryptKey", "encrypt", "\"\""),
    ("EncryptVerifyIncoming", "encrypt_verify_incoming", "true"),
    ("EncryptVerifyOutgoing", "encrypt_verify_outgoing", "true"),
    ("EnterpriseRuntimeConfig", "", "{}"),
    ("GossipLANGossipInterval", "gossip_lan.gossip_interval", "\"200ms\""),
    ("GossipLANGossipNodes", "gossip_lan.gossip_nodes", "3"),
    ("GossipLANProbeInterval", "gossip_lan.probe_interval", "\"1s\""),
    ("GossipLANProbeTimeout", "gossip_lan.probe_timeout", "\"500ms\""),
    ("GossipLANRetransmitMult", "gossip_lan.retransmit_mult", "4"),
    ("GossipLANSuspicionMult", "gossip_lan.suspicion_mult", "4"),
    ("GossipWANGossipInterval", "gossip_wan.gossip_interval", "\"500ms\""),
    ("GossipWANGossipNodes", "gossip_wan.gossip_nodes", "4"),
    ("GossipWANProbeInterval", "gossip_wan.probe_interval", "\"5s\""),
    ("GossipWANProbeTimeout", "gossip_wan.probe_timeout", "\"3s\""),
    ("GossipWANRetransmitMult", "gossip_wan.retransmit_mult", "4"),
    ("GossipWANSuspicionMult", "gossip_wan.suspicion_mult", "6"),
    ("HTTPBlockEndpoints", "http_config.block_endpoints", "[]"),
    ("HTTPMaxConnsPerClient", "limits.http_max_conns_per_client", "200"),
    ("HTTPMaxHeaderBytes", "http_config.max_header_bytes", "0"),
    ("HTTPResponseHeaders", "http_config.response_headers", "{}"),
    ("HTTPSHandshakeTimeout", "limits.https_handshake_timeout", "\"5s\""),
    ("HTTPUseCache", "http_config.use_cache", "true"),
    ("KVMaxValueSize", "limits.kv_max_value_size", "524288"),
    ("KeyFile", "tls.defaults.key_file", "\"\""),
    ("LeaveDrainTime", "performance.leave_drain_time", "\"5s\""),
    ("Logging.EnableSyslog", "enable_syslog", "false"),
    ("Logging.LogFilePath", "log_file", "\"\""),
    ("Logging.LogRotateBytes", "log_rotate_bytes", "0"),
    ("Logging.LogRotateDuration", "log_rotate_duration", "\"0s\""),
    ("Logging.LogRotateMaxFiles", "log_rotate_max_files", "0"),
    ("Logging.Name", "", "\"\""),
    ("Logging.SyslogFacility", "syslog_facility", "\"LOCAL0\""),
    ("MaxQueryTime", "max_query_time", "\"10m0s\""),
    ("NodeMeta", "node_meta", "{}"),
    ("NonVotingServer", "read_replica", "false"),
    ("PidFile", "pid_file", "\"\""),
    ("PrimaryGateways", "primary_gateways", "[]"),
    ("PrimaryGatewaysInterval", "primary_gateways_interval", "\"30s\""),
    ("RPCHandshakeTimeout", "limits.rpc_handshake_timeout", "\"5s\""),
    ("RPCHoldTimeout", "performance.rpc_hold_timeout", "\"7s\""),
    ("RPCMaxBurst", "limits.rpc_max_burst", "1000"),
    ("RPCMaxConnsPerClient", "limits.rpc_max_conns_per_client", "100"),
    ("RPCProtocol", "protocol", "2"),
    ("RPCRateLimit", "limits.rpc_rate", "-1"),
    ("RaftProtocol", "raft_protocol", "0"),
    ("RaftSnapshotInterval", "raft_snapshot_interval", "\"0s\""),
    ("RaftSnapshotThreshold", "raft_snapshot_threshold", "0"),
    ("RaftTrailingLogs", "raft_trailing_logs", "0"),
    ("ReconnectTimeoutLAN", "reconnect_timeout", "\"0s\""),
    ("ReconnectTimeoutWAN", "reconnect_timeout_wan", "\"0s\""),
    ("RejoinAfterLeave", "rejoin_after_leave", "false"),
    ("RetryJoinIntervalLAN", "retry_interval", "\"30s\""),
    ("RetryJoinIntervalWAN", "retry_interval_wan", "\"30s\""),
    ("RetryJoinLAN", "retry_join", "[]"),
    ("RetryJoinMaxAttemptsLAN", "retry_max", "0"),
    ("RetryJoinMaxAttemptsWAN", "retry_max_wan", "0"),
    ("RetryJoinWAN", "retry_join_wan", "[]"),
    ("Revision", "", "\"\""),
    ("SegmentLimit", "segment_limit", "64"),
    ("SegmentName", "segment", "\"\""),
    ("SegmentNameLimit", "segment_name_limit", "64"),
    ("Segments", "segments", "[]"),
    ("SerfAllowedCIDRsLAN", "serf_lan_allowed_cidrs", "[]"),
    ("SerfAllowedCIDRsWAN", "serf_wan_allowed_cidrs", "[]"),
    ("ServerName", "server_name", "\"\""),
    ("SessionTTLMin", "session_ttl_min", "\"0s\""),
    ("StartJoinAddrsLAN", "", "[]"),
    ("StartJoinAddrsWAN", "", "[]"),
    ("SyncCoordinateIntervalMin", "sync_coordinate_interval_min", "\"15s\""),
    ("SyncCoordinateRateTarget", "sync_coordinate_rate_target", "64"),
    ("TLSMinVersion", "tls.defaults.tls_min_version", "\"tls12\""),
    ("TLSPreferServerCipherSuites", "tls_prefer_server_cipher_suites", "false"),
    ("Telemetry.CirconusAPIApp", "telemetry.circonus_api_app", "\"\""),
    ("Telemetry.CirconusAPIToken", "telemetry.circonus_api_token", "\"\""),
    ("Telemetry.CirconusAPIURL", "telemetry.circonus_api_url", "\"\""),
    ("Telemetry.CirconusBrokerID", "telemetry.circonus_broker_id", "\"\""),
    ("Telemetry.CirconusBrokerSelectTag", "telemetry.circonus_broker_select_tag", "\"\""),
    ("Telemetry.CirconusCheckDisplayName", "telemetry.circonus_check_display_name", "\"\""),
    ("Telemetry.CirconusCheckForceMetricActivation", "telemetry.circonus_check_force_metric_activation", "\"\""),
    ("Telemetry.CirconusCheckID", "telemetry.circonus_check_id", "\"\""),
    ("Telemetry.CirconusCheckInstanceID", "telemetry.circonus_check_instance_id", "\"\""),
    ("Telemetry.CirconusCheckSearchTag", "telemetry.circonus_check_search_tag", "\"\""),
    ("Telemetry.CirconusCheckTags", "telemetry.circonus_check_tags", "\"\""),
    ("Telemetry.CirconusSubmissionInterval", "telemetry.circonus_submission_interval", "\"\""),
    ("Telemetry.CirconusSubmissionURL", "telemetry.circonus_submission_url", "\"\""),
    ("Telemetry.Disable", "", "false"),
    ("Telemetry.DisableHostname", "telemetry.disable_hostname", "false"),
    ("Telemetry.DogstatsdAddr", "telemetry.dogstatsd_addr", "\"\""),
    ("Telemetry.DogstatsdTags", "telemetry.dogstatsd_tags", "[]"),
    ("Telemetry.FilterDefault", "telemetry.filter_default", "true"),
    ("Telemetry.MetricsPrefix", "telemetry.metrics_prefix", "\"consul\""),
    ("Telemetry.PrometheusRetentionTime", "telemetry.prometheus_retention_time", "\"0s\""),
    ("Telemetry.StatsdAddr", "telemetry.statsd_address", "\"\""),
    ("Telemetry.StatsiteAddr", "telemetry.statsite_address", "\"\""),
    ("TranslateWANAddrs", "translate_wan_addrs", "false"),
    ("TxnMaxReqLen", "limits.txn_max_req_len", "524288"),
    ("UIDir", "ui_config.dir", "\"\""),
    ("UnixSocketGroup", "unix_sockets.group", "\"\""),
    ("UnixSocketMode", "unix_sockets.mode", "\"\""),
    ("UnixSocketUser", "unix_sockets.user", "\"\""),
    ("VerifyIncoming", "tls.defaults.verify_incoming", "false"),
    ("VerifyIncomingHTTPS", "tls.https.verify_incoming", "false"),
    ("VerifyIncomingRPC", "tls.internal_rpc.verify_incoming", "false"),
    ("VerifyOutgoing", "tls.defaults.verify_outgoing", "false"),
    ("VerifyServerHostname", "tls.internal_rpc.verify_server_hostname", "false"),
    ("VersionPrerelease", "", "\"\""),
    ("Watches", "watches", "[]"),
];

/// The whole object, secrets hidden. The node's id is put in when it is known.
pub(super) fn config(read: &Reading, config: &Config) -> Json {
    let mut out = Map::new();
    for (name, path, default) in ROWS {
        let value = given(read, path).unwrap_or_else(|| serde_json::from_str(default).unwrap_or(Json::Null));
        put(&mut out, name, value);
    }
    for part in [decided(read, config), ports(config), definitions(config)] {
        if let Json::Object(part) = part {
            out.extend(part);
        }
    }
    put(&mut out, "AutoConfig.Authorizer", authorizer());
    put(&mut out, "Logging.LogJSON", config.log_json.into());
    put(&mut out, "Logging.LogLevel", config.log_level.to_string().to_ascii_lowercase().into());
    let mut out = Json::Object(out);
    hide(&mut out);
    out
}

fn put(object: &mut Map<String, Json>, name: &str, value: Json) {
    match name.split_once('.') {
        None => drop(object.insert(name.to_owned(), value)),
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert_with(|| json!({}));
            if let Json::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn given(read: &Reading, path: &str) -> Option<Json> {
    let setting = read.settings.get(path)?;
    let duration = |text: &str| parse_duration(text).map_or_else(|_| text.to_owned(), format_duration);
    Some(match &setting.value {
        Value::Text(text) if setting.kind == Kind::Duration => duration(text).into(),
        Value::Text(text) => text.clone().into(),
        Value::Bool(on) => (*on).into(),
        Value::Number(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Texts(texts) => texts.clone().into(),
        Value::Map(map) if setting.kind == Kind::DurationMap => {
            map.iter().map(|(key, text)| (key.clone(), duration(text))).collect()
        }
        Value::Map(map) => json!(map),
        Value::Any(json) => json.clone(),
    })
}

/// What was decided from several settings.
fn decided(read: &Reading, config: &Config) -> Json {
    let bootstrap = read.on("bootstrap") || read.number("bootstrap_expect") == Some(1);
    let expect = read.number("bootstrap_expect").filter(|expect| *expect > 1).unwrap_or_default();
    let primary = read.full_text("primary_datacenter").unwrap_or_else(|| config.datacenter.clone());
    let clients = read.full_text("client_addr").unwrap_or_else(|| "127.0.0.1".to_owned());
    let address = config.advertise_addr.to_string();
    let wan = config.advertise_addr_wan.to_string();
    let mut tagged = json!({ "lan": address, "lan_ipv4": address, "wan": wan, "wan_ipv4": wan });
    for (name, value) in &config.tagged_addresses {
        tagged[name.as_str()] = value.clone().into();
    }
    json!({
        "ACLDatacenter": primary,
        "AdvertiseAddrLAN": address,
        "AdvertiseAddrWAN": wan,
        "BindAddr": config.bind_addr.to_string(),
        "Bootstrap": bootstrap,
        "BootstrapExpect": expect,
        "ClientAddrs": clients.split_whitespace().collect::<Vec<_>>(),
        "ConnectEnabled": true,
        "DataDir": config.data_dir.as_ref().map_or_else(String::new, |path| path.display().to_string()),
        "Datacenter": config.datacenter,
        "DevMode": config.dev,
        "EnableDebug": config.enable_debug,
        "EnableUI": config.ui.enabled,
        "LeaveOnTerm": config.leave_on_terminate,
        "NodeID": "",
        "NodeName": config.node_name,
        "PrimaryDatacenter": primary,
        "ServerMode": config.server,
        "SkipLeaveOnInt": !config.leave_on_interrupt,
        "TLSCipherSuites": config.https_tls.cipher_suites,
        "TaggedAddresses": tagged,
        "UIContentPath": config.ui.content_path,
        "Version": crate::commands::SPEAKS_CONSUL,
    })
}

fn ports(config: &Config) -> Json {
    let tcp = |ip: std::net::IpAddr, port: u16| format!("tcp://{}", std::net::SocketAddr::new(ip, port));
    let sockets = |scheme: &str, list: &[std::net::SocketAddr]| -> Vec<String> {
        list.iter().map(|address| format!("{scheme}://{address}")).collect()
    };
    let endpoints = |list: &[Endpoint]| -> Vec<String> {
        let text = |endpoint: &Endpoint| match endpoint {
            Endpoint::Tcp(address) => format!("tcp://{address}"),
            Endpoint::Unix(_) => endpoint.to_string(),
        };
        list.iter().map(text).collect()
    };
    let port = |list: &[std::net::SocketAddr]| list.first().map_or(-1, |address| i32::from(address.port()));
    let http_port =
        |list: &[Endpoint]| list.iter().find_map(Endpoint::tcp).map_or(-1, |address| i32::from(address.port()));
    let (bind, advertise) = (config.bind_addr, config.advertise_addr);
    let dns = [sockets("tcp", &config.dns), sockets("udp", &config.dns)].concat();
    json!({
        "ConnectSidecarMaxPort": config.sidecar_ports.end(),
        "ConnectSidecarMinPort": config.sidecar_ports.start(),
        "DNSAddrs": dns,
        "DNSPort": port(&config.dns),
        "ExposeMaxPort": config.expose_ports.end(),
        "ExposeMinPort": config.expose_ports.start(),
        "GRPCAddrs": sockets("tcp", &config.grpc),
        "GRPCPort": port(&config.grpc),
        "GRPCTLSAddrs": sockets("tcp", &config.grpc_tls),
        "GRPCTLSPort": port(&config.grpc_tls),
        "HTTPAddrs": endpoints(&config.http),
        "HTTPPort": http_port(&config.http),
        "HTTPSAddrs": endpoints(&config.https),
        "HTTPSPort": http_port(&config.https),
        "RPCAdvertiseAddr": tcp(advertise, config.server_port),
        "RPCBindAddr": tcp(bind, config.server_port),
        "SerfAdvertiseAddrLAN": tcp(advertise, config.serf_lan_port),
        "SerfAdvertiseAddrWAN": tcp(config.advertise_addr_wan, config.serf_wan_port),
        "SerfBindAddrLAN": tcp(bind, config.serf_lan_port),
        "SerfBindAddrWAN": tcp(bind, config.serf_wan_port),
        "SerfPortLAN": config.serf_lan_port,
        "SerfPortWAN": config.serf_wan_port,
        "ServerPort": config.server_port,
    })
}

fn definitions(config: &Config) -> Json {
    let service = |definition: &model::ServiceDefinition| {
        let service = &definition.service;
        json!({ "ID": service.id, "Name": service.service, "Port": service.port, "Tags": service.tags })
    };
    let check = |check: &model::CheckDefinition| json!({ "ID": check.id, "Name": check.name });
    let entry = |entry: &model::ConfigEntry| json!({ "Kind": entry.kind(), "Name": entry.name() });
    json!({
        "Checks": config.checks.iter().map(check).collect::<Vec<_>>(),
        "ConfigEntryBootstrap": config.bootstrap.iter().map(entry).collect::<Vec<_>>(),
        "Services": config.services.iter().map(service).collect::<Vec<_>>(),
    })
}

/// Nobody is authorised here; the names are Consul's.
fn authorizer() -> Json {
    json!({
        "AllowReuse": false,
        "AuthMethod": {
            "ACLAuthMethodEnterpriseFields": {},
            "Config": {
                "BoundAudiences": null, "BoundIssuer": "", "ClaimMappings": null, "ClockSkewLeeway": 0,
                "ExpirationLeeway": 0, "JWKSCACert": "", "JWKSURL": "", "JWTSupportedAlgs": null,
                "JWTValidationPubKeys": null, "ListClaimMappings": null, "NotBeforeLeeway": 0,
                "OIDCDiscoveryCACert": "", "OIDCDiscoveryURL": "",
            },
            "Description": "",
            "DisplayName": "",
            "EnterpriseMeta": {},
            "MaxTokenTTL": "0s",
            "Name": "Auto Config Authorizer",
            "RaftIndex": { "CreateIndex": 0, "ModifyIndex": 0 },
            "TokenLocality": "",
            "Type": "jwt",
        },
        "ClaimAssertions": [],
        "Enabled": false,
    })
}

/// Consul's rule: a text under a name that speaks of a key, a token or a secret is not shown, not even when empty.
fn hide(value: &mut Json) {
    match value {
        Json::Object(object) => {
            for (name, value) in object {
                let name = name.to_ascii_lowercase();
                let secret = ["key", "token", "secret"].iter().any(|word| name.contains(word));
                match value {
                    Json::String(text) if secret && name != "introtokenfile" => *text = "hidden".to_owned(),
                    value => hide(value),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}
