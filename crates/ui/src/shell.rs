//! The page before any data: everything the modules fill has its place and its name here.

use maud::{DOCTYPE, Markup, html};

const WINDOWS: [(&str, &str, &str); 4] = [
    ("30", "30 s", "30 seconds"),
    ("60", "1 min", "1 minute"),
    ("300", "5 min", "5 minutes"),
    ("900", "15 min", "15 minutes"),
];

const KEYS: [(&str, &str); 11] = [
    ("Tab", "next service or call, in reading order"),
    ("← ↑ → ↓", "nearest service or call that way"),
    ("Enter", "open its details"),
    ("Esc", "close what is open"),
    ("/", "search"),
    ("g  t", "graph, table"),
    ("1 – 4", "time window"),
    ("+  −  0", "zoom in, zoom out, fit"),
    ("e", "only what fails"),
    ("d", "light or dark"),
    ("?", "this help"),
];

const COLOURS: &str = "Width of a line: requests per second. Its colour, the sign on its label and the diamonds among \
    its dots: the share that failed, in the window or in the last ten seconds, whichever is worse. An error is an \
    HTTP 5xx, no answer, or a gRPC status that is the callee's fault. Dashed: calls refused by an intention.";
const LINK: &str = "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1";
const MOON: &str = "M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9Z";
const QUESTION: &str = "M9.2 9a2.9 2.9 0 1 1 4.2 2.6c-1 .6-1.4 1.1-1.4 2.2M12 17.4v.1";

const COMMANDS: &str = "# an application, traffic, faults to switch on\n$ meshglass demo\n\n\
    # or a service of your own, in web.hcl\n\
    service {\n  name = \"web\"\n  port = 8080\n  connect { sidecar_service {} }\n}\n\n\
    $ meshglass services register web.hcl\n$ meshglass connect proxy -sidecar-for web";

pub(crate) fn page() -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content="light dark";
                meta name="description" content="Who calls whom in the mesh, how much of it fails, and where.";
                title { "Meshglass" }
                link rel="icon" type="image/svg+xml" href="icon.svg";
                link rel="stylesheet" href="app.css";
                script src="theme.js" {}
                script type="module" src="main.js" {}
            }
            body {
                a class="skip" href="#stage" { "Skip to the graph" }
                (bar())
                noscript {
                    p class="notice" { "This page needs JavaScript. Its data: " code { "/v1/insight/topology" } }
                }
                main id="main" {
                    (stage())
                    section id="table" aria-label="All calls" hidden {}
                    aside id="panel" aria-label="Details" tabindex="-1" hidden {}
                    (faults())
                }
                (help())
                p id="announce" class="unseen" role="status" aria-live="polite" {}
            }
        }
    }
    .into_string()
}

fn bar() -> Markup {
    html! {
        header id="bar" {
            h1 {
                svg class="logo" viewBox="0 0 32 32" aria-hidden="true" {
                    path class="logo-line" d="M8 10 24 8M8 10l6 14M24 8l-10 16" {}
                    circle cx="8" cy="10" r="4" {}
                    circle cx="24" cy="8" r="3" {}
                    circle class="logo-hot" cx="14" cy="24" r="4.4" {}
                }
                span { "Meshglass" }
                span id="datacenter" {}
            }
            span id="live" data-state="connecting" { i {} b { "connecting" } }
            span id="summary" {}
            span class="space" {}
            label class="search" {
                span class="unseen" { "Search services" }
                input id="search" type="search" placeholder="Search" autocomplete="off" spellcheck="false"
                    aria-keyshortcuts="/";
                kbd aria-hidden="true" { "/" }
            }
            button id="failing" type="button" aria-pressed="false" title="Show only what fails (e)" { "Failing" }
            div class="segments" role="group" aria-label="Time window" id="windows" {
                @for (seconds, short, long) in WINDOWS {
                    button type="button" data-window=(seconds) aria-pressed="false" title=(long) { (short) }
                }
            }
            div class="segments" role="group" aria-label="View" id="views" {
                button type="button" data-view="graph" aria-pressed="true" { "Graph" }
                button type="button" data-view="table" aria-pressed="false" { "Table" }
            }
            button id="faults-open" type="button" aria-expanded="false" aria-controls="faults" hidden { "Faults" }
            (icon_button("copy", "Copy a link to this view", LINK))
            (icon_button("theme", "Light or dark (d)", MOON))
            (icon_button("help-open", "Keys and colours (?)", QUESTION))
        }
    }
}

fn icon_button(id: &str, label: &str, path: &str) -> Markup {
    html! {
        button id=(id) class="icon" type="button" aria-label=(label) title=(label) {
            svg viewBox="0 0 24 24" aria-hidden="true" { path d=(path) {} }
        }
    }
}

fn stage() -> Markup {
    html! {
        section id="stage" aria-label="Who calls whom" tabindex="-1" {
            div id="lines-box" { svg id="lines" aria-hidden="true" {} }
            canvas id="dots" aria-hidden="true" {}
            div id="world" {}
            div id="empty" hidden {
                h2 id="empty-title" {}
                p id="empty-text" {}
                pre id="empty-commands" { (COMMANDS) }
            }
            div id="zoom" role="group" aria-label="Zoom" {
                button type="button" data-zoom="in" aria-label="Zoom in" title="Zoom in (+)" { "+" }
                button type="button" data-zoom="out" aria-label="Zoom out" title="Zoom out (−)" { "−" }
                button type="button" data-zoom="fit" aria-label="Fit" title="Fit (0)" { "Fit" }
            }
            ul id="legend" aria-label="Legend" {
                li data-state="ok" { i {} "healthy" }
                li data-state="warn" { i {} "some errors" }
                li data-state="error" { i {} "failing, 5 % or more" }
                li data-state="refused" { i {} "refused by intention" }
            }
        }
    }
}

fn faults() -> Markup {
    html! {
        section id="faults" aria-labelledby="faults-title" hidden {
            div class="head" {
                h2 id="faults-title" { "Break something" }
                button type="button" class="close" data-close="faults" aria-label="Close faults" { "×" }
            }
            form id="fault-form" {
                label { span { "Where" } select id="fault-target" name="target" {} }
                fieldset {
                    legend { "What" }
                    label { input type="radio" name="kind" value="errors" checked; "Errors" }
                    label { input type="radio" name="kind" value="latency"; "Latency" }
                    label { input type="radio" name="kind" value="hang"; "Hang" }
                }
                label {
                    span id="fault-value-label" { "Share of requests" }
                    input id="fault-value" name="value" value="30%" required;
                }
                button type="submit" id="fault-on" { "Switch on" }
            }
            p id="fault-note" role="status" {}
            ul id="fault-list" aria-label="Active faults" {}
        }
    }
}

fn help() -> Markup {
    html! {
        dialog id="help" aria-labelledby="help-title" {
            div class="head" {
                h2 id="help-title" { "Keys and colours" }
                button type="button" class="close" data-close="help" aria-label="Close help" { "×" }
            }
            dl class="keys" { @for (key, meaning) in KEYS { dt { kbd { (key) } } dd { (meaning) } } }
            p {
                (COLOURS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_has_nothing_inline() {
        let page = super::page();
        for forbidden in [" style=", " onclick=", "<style", "http://", "https://", "javascript:"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }
}
