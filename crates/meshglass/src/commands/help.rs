//! Help in the layout people know from Consul: usage, description, options with one dash.

use clap::{Arg, ArgAction, Command};

use super::flags::HTTP_OPTIONS;

const WIDTH: usize = 78;

/// The help of the command at `path` below `root`.
pub fn render(root: &Command, path: &[String]) -> String {
    let mut command = root;
    for word in path {
        match command.find_subcommand(word) {
            Some(found) => command = found,
            None => break,
        }
    }
    let mut out = format!("Usage: {}\n", usage(root, command, path));
    if !path.is_empty() {
        out.push('\n');
        let text = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
        indented(&mut out, &text, "  ");
    }
    if command.has_subcommands() {
        out.push_str(if path.is_empty() { "\nAvailable commands are:\n" } else { "\nSubcommands:\n" });
        subcommands(&mut out, command);
    }
    options(&mut out, command, Some(HTTP_OPTIONS));
    options(&mut out, command, None);
    out
}

fn usage(root: &Command, command: &Command, path: &[String]) -> String {
    let name = root.get_name();
    if path.is_empty() {
        return format!("{name} [--version] [--help] <command> [<args>]");
    }
    let rest = if command.has_subcommands() {
        "<subcommand> [options] [args]".to_owned()
    } else {
        let value =
            command.get_positionals().flat_map(|arg| arg.get_value_names()).flatten().next().filter(|v| !v.is_empty());
        value.map_or("[options]".to_owned(), |value| format!("[options] {value}"))
    };
    format!("{name} {} {rest}", path.join(" "))
}

fn subcommands(out: &mut String, command: &Command) {
    let shown = || command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let width = shown().map(|sub| sub.get_name().len()).max().unwrap_or(0);
    for sub in shown() {
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        out.push_str(&format!("    {:width$}    {about}\n", sub.get_name()));
    }
}

fn options(out: &mut String, command: &Command, heading: Option<&str>) {
    let mut shown: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| arg.get_long().is_some() && !arg.is_hide_set() && arg.get_help_heading() == heading)
        .collect();
    if shown.is_empty() {
        return;
    }
    shown.sort_by_key(|arg| arg.get_long());
    out.push_str(&format!("\n{}\n", heading.unwrap_or("Command Options")));
    for arg in shown {
        let value = match arg.get_value_names().and_then(|names| names.first()) {
            Some(value) if arg.get_num_args().is_some_and(|n| n.min_values() > 0) => format!("=<{value}>"),
            _ => String::new(),
        };
        out.push_str(&format!("\n  -{}{value}\n", arg.get_long().unwrap_or_default()));
        let again = if matches!(arg.get_action(), ArgAction::Append) { " May be given more than once." } else { "" };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        indented(out, &format!("{help}{again}"), "     ");
    }
}

/// Wraps paragraphs; a line that begins with blanks is an example and stays as it is.
fn indented(out: &mut String, text: &str, indent: &str) {
    for paragraph in text.lines() {
        if paragraph.starts_with(' ') || paragraph.is_empty() {
            out.push_str(format!("{indent}{paragraph}").trim_end());
            out.push('\n');
            continue;
        }
        let mut line = indent.to_owned();
        for word in paragraph.split(' ') {
            if line.len() + word.len() > WIDTH && line.len() > indent.len() {
                out.push_str(line.trim_end());
                out.push('\n');
                line = indent.to_owned();
            }
            line.push_str(word);
            line.push(' ');
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::tree;

    #[test]
    fn help_has_consul_s_layout() {
        let members = render(&tree("consul"), &["members".to_owned()]);
        assert!(members.starts_with("Usage: consul members [options]\n\n  "), "{members}");
        assert!(members.contains("\nHTTP API Options\n\n  -ca-file=<value>\n     "), "{members}");
        assert!(members.contains("\nCommand Options\n\n  -detailed\n     "), "{members}");
        let all = render(&tree("meshglass"), &[]);
        assert!(all.starts_with("Usage: meshglass [--version] [--help] <command> [<args>]\n\nAvailable"), "{all}");
        assert!(all.contains("\n    intention"), "{all}");
    }

    /// Every command and every flag says what it does.
    #[test]
    fn nothing_is_without_help() {
        fn check(command: &Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                assert!(sub.get_about().is_some(), "{path}");
                for arg in sub.get_arguments().filter(|arg| arg.get_long().is_some()) {
                    assert!(arg.get_help().is_some_and(|help| !help.to_string().is_empty()), "{path} {arg:?}");
                }
                check(sub, &path);
            }
        }
        let root = tree("consul");
        check(&root, "consul");
        root.debug_assert();
    }
}
