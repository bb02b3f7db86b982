//! Filling templates: `${name.full}`, `${name.prefix}`, `${name.suffix}`, `${match(n)}`, `${agent.segment}` in the
//! texts of a query's service. `$${` is a plain `${`.

use model::PreparedQuery;
use regex_lite::Regex;

const KIND: &str = "name_prefix_match";

/// What the name that was asked for gives.
struct Values<'a> {
    full: &'a str,
    prefix: &'a str,
    matches: Vec<&'a str>,
}

/// Refuses a template that could not be filled. The texts are Consul's.
pub(crate) fn check(query: &PreparedQuery) -> Result<(), String> {
    if query.template.kind.is_empty() {
        return Ok(());
    }
    if query.template.kind != KIND {
        return Err(format!("failed compiling template: Bad Template.Type '{}'", query.template.kind));
    }
    fill(query, &query.name).map(|_| ()).map_err(|why| format!("failed compiling template: {why}"))
}

/// The query for one name.
pub(super) fn fill(query: &PreparedQuery, name: &str) -> Result<PreparedQuery, String> {
    let mut filled = query.clone();
    let pattern = &query.template.regexp;
    // A name may be asked for in another case than the template's.
    let matches = match pattern.as_str() {
        "" => Vec::new(),
        pattern => {
            let pattern = Regex::new(pattern).map_err(|why| format!("Bad Regexp: error parsing regexp: {why}"))?;
            let groups = pattern.captures(name).map(|found| {
                let texts = found.iter().map(|group| group.map_or("", |group| group.as_str()));
                texts.collect()
            });
            groups.unwrap_or_default()
        }
    };
    let values = Values { full: name, prefix: &query.name, matches };
    filled.service.for_each_text(|place, text| {
        *text = interpolate(text, &values, place)?;
        Ok::<(), String>(())
    })?;
    if query.template.remove_empty_tags
        && let Some(tags) = &mut filled.service.tags
    {
        tags.retain(|tag| !tag.is_empty());
    }
    Ok(filled)
}

fn interpolate(text: &str, values: &Values<'_>, place: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if text[..start].ends_with('$') {
            // Escaped: the first of the two dollars goes.
            out.push_str(&text[at..start - 1]);
            out.push_str("${");
            at = start + 2;
            continue;
        }
        out.push_str(&text[at..start]);
        let inner = &text[start + 2..];
        let end = inner
            .find('}')
            .ok_or_else(|| format!("Bad format '{text}' in Service.{place}: parse error: syntax error"))?;
        let expression = &inner[..end];
        out.push_str(value(expression, values).map_err(|(offset, why)| {
            let column = text[..start + 2 + offset].chars().count() + 1;
            format!("Bad evaluation for '{text}' in Service.{place}: 1:{column}: {why}")
        })?);
        at = start + 2 + end + 1;
    }
    out.push_str(&text[at..]);
    Ok(out)
}

/// The value of one expression, or where in it what is not known.
fn value<'a>(expression: &str, values: &Values<'a>) -> Result<&'a str, (usize, String)> {
    let trimmed = expression.trim();
    let offset = expression.len() - expression.trim_start().len();
    if let Some((function, argument)) = trimmed.strip_suffix(')').and_then(|call| call.split_once('(')) {
        if function.trim() != "match" {
            return Err((offset, format!("unknown function called: {}", function.trim())));
        }
        let group: usize = argument
            .trim()
            .parse()
            .map_err(|_| (offset + function.len() + 1, format!("unknown variable accessed: {}", argument.trim())))?;
        // A group that the expression does not have is empty.
        return Ok(values.matches.get(group).copied().unwrap_or_default());
    }
    match trimmed {
        "name.full" => Ok(values.full),
        "name.prefix" => Ok(values.prefix),
        // Names are found without case, so the beginning is cut by its length.
        "name.suffix" => Ok(values.full.get(values.prefix.len()..).unwrap_or_default()),
        "agent.segment" => Ok(""),
        unknown => Err((offset, format!("unknown variable accessed: {unknown}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{from_value, json};

    fn template(service: &str) -> PreparedQuery {
        let template = json!({"Type": KIND, "Regexp": "^t5-(.*?)-(.*?)$"});
        from_value(json!({"Name": "t5", "Template": template, "Service": {"Service": service}})).unwrap()
    }

    /// As a real Consul answered.
    #[test]
    fn texts_are_filled() {
        for (text, filled) in [
            ("${match(1)}", "a"),
            ("x-${name.suffix}", "x--a-b"),
            ("${match(9)}", ""),
            ("$${y}", "${y}"),
            ("${name.full}${name.prefix}-${match(0)}-${ match( 2 ) }", "t5-a-bt5-t5-a-b-b"),
            ("plain $ {", "plain $ {"),
            ("${agent.segment}", ""),
        ] {
            assert_eq!(fill(&template(text), "t5-a-b").unwrap().service.service, filled, "{text}");
        }
    }

    #[test]
    fn templates_that_cannot_be_filled_are_refused() {
        for (text, why) in [
            ("${bogus}", "Bad evaluation for '${bogus}' in Service.Service: 1:3: unknown variable accessed: bogus"),
            ("${match(x)}", "Bad evaluation for '${match(x)}' in Service.Service: 1:9: unknown variable accessed: x"),
            (
                "${upper(name.full)}",
                "Bad evaluation for '${upper(name.full)}' in Service.Service: 1:3: unknown function called: upper",
            ),
            ("${name.full", "Bad format '${name.full' in Service.Service: parse error: syntax error"),
        ] {
            assert_eq!(check(&template(text)).unwrap_err(), format!("failed compiling template: {why}"));
        }
    }
}
