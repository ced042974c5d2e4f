//! `cron` and the keys beside it: when jobs are made by themselves.
//!
//! Here is checked what can be seen without a library for expressions and time zones, which every user would compile. What
//! an expression means, and whether the zone exists, is found out where a worker is built.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use crate::{
    ast::{Payload, Root},
    call,
    errors::Errors,
    key::Key,
    rules::{read, says_nothing_without},
};

const ALIASES: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// Ends the messages about expressions.
const FIELDS: &str = "write five fields (minute, hour, day of the month, month, day of the week), or six with the \
                      second before them, such as \"0 9 * * mon-fri\"";

const LETTERS: &str = "write letters, digits, blanks and any of * , - / ? # only";

/// Ends the messages about time zones.
const ZONES: &str = "write a name of the IANA database, such as \"Europe/Vienna\" or \"UTC\"";

/// More times than this are no backlog that anybody wants to make up for.
const MOST_MISSED: u32 = 10_000;

/// What the constant `CRON` will be. `None` leaves what it says to the default of `pg_queue::Cron`.
pub(crate) struct Cron {
    /// Where the key was written.
    place: Span,
    expression: String,
    timezone: Option<String>,
    missed: Option<Missed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missed {
    Skip,
    Once,
    /// Without a number as many as `pg_queue::Missed` says.
    All(Option<u32>),
}

/// Judges all keys that are about jobs made by themselves.
pub(crate) fn valid(payload: &Payload<'_>, errors: &mut Errors) -> Option<Cron> {
    let attrs = &payload.attrs;
    for key in [Key::Timezone, Key::Missed] {
        says_nothing_without(attrs, key, Key::Cron, errors);
    }
    let expression = attrs.cron.as_ref().and_then(|literal| read(literal, expression, errors));
    let timezone = attrs.timezone.as_ref().and_then(|literal| read(literal, timezone, errors));
    let missed = attrs.missed.as_ref().and_then(|literal| read(literal, missed, errors));
    Some(Cron { place: attrs.written(Key::Cron)?.span(), expression: expression?, timezone, missed })
}

/// An expression as it is, if it looks like one.
fn expression(text: &str) -> Result<String, String> {
    let quoted = text.escape_debug();
    if text.starts_with('@') {
        return if ALIASES.contains(&text) {
            Ok(text.to_owned())
        } else {
            let [first @ .., last] = ALIASES;
            Err(format!("\"{quoted}\" is no alias of a cron expression: write {} or {last}", first.join(", ")))
        };
    }
    if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || " \t*,-/?#".contains(*c))) {
        return Err(format!("the cron expression \"{quoted}\" contains {bad:?}: {LETTERS}"));
    }
    match text.split_ascii_whitespace().count() {
        5 | 6 => Ok(text.to_owned()),
        0 => Err(format!("the cron expression is empty: {FIELDS}")),
        1 => Err(format!("the cron expression \"{quoted}\" has one field: {FIELDS}")),
        count => Err(format!("the cron expression \"{quoted}\" has {count} fields: {FIELDS}")),
    }
}

/// A time zone as it is, if it can be one.
fn timezone(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("the time zone is empty: {ZONES}"));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || "_+-/".contains(*c))) {
        Some(bad) => Err(format!("the time zone \"{}\" contains {bad:?}: {ZONES}", text.escape_debug())),
        None => Ok(text.to_owned()),
    }
}

fn missed(text: &str) -> Result<Missed, String> {
    match (text, call::split(text)) {
        ("skip", _) => Ok(Missed::Skip),
        ("once", _) => Ok(Missed::Once),
        ("all", _) => Ok(Missed::All(None)),
        (_, Some(("all", number))) => match number.trim().parse() {
            Ok(most @ 1..=MOST_MISSED) => Ok(Missed::All(Some(most))),
            _ => Err(format!(
                "`missed` cannot be \"{}\": all takes a whole number from 1 to {MOST_MISSED}, such as \"all(50)\"",
                text.escape_debug()
            )),
        },
        _ => Err(Key::Missed.refuses(text)),
    }
}

impl Cron {
    /// The constant and the method of `Job`. What `rustc` says of a missing `Default` shows the struct's name, which stands
    /// at `payload`, and the key as the reason.
    pub(crate) fn items(&self, root: &Root, payload: Span) -> TokenStream {
        let expression = &self.expression;
        let timezone = self.timezone.as_ref().map(|zone| quote!(.timezone(#zone)));
        let missed = self.missed.map(|missed| match missed {
            Missed::Skip => quote!(.missed(#root::Missed::Skip)),
            Missed::Once => quote!(.missed(#root::Missed::Once)),
            Missed::All(None) => quote!(.missed(#root::Missed::All(#root::Missed::DEFAULT_MOST))),
            Missed::All(Some(most)) => quote!(.missed(#root::Missed::All(#most))),
        });
        let at = |place| Span::call_site().located_at(place);
        let payload = quote_spanned!(at(payload)=> Self);
        let making = quote_spanned! {at(self.place)=>
            fn cron_makes_the_default<J: ::core::default::Default>() -> J {
                J::default()
            }
        };
        quote! {
            const CRON: ::core::option::Option<#root::Cron> =
                ::core::option::Option::Some(#root::Cron::new(#expression) #timezone #missed);

            fn from_cron() -> ::core::option::Option<Self> {
                #making
                ::core::option::Option::Some(cron_makes_the_default::<#payload>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIASES, Missed, expression, missed, timezone};

    #[test]
    fn what_looks_like_an_expression_is_taken_as_it_is() {
        let fields = ["0 9 * * mon-fri", "*/5 0 9 * * *", "0 0 L 1,7 ?", "0  9\t* * MON#2"];
        for text in fields.into_iter().chain(ALIASES) {
            assert_eq!(expression(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_surely_no_expression_is_refused() {
        for (text, why) in [
            ("", "is empty: write five fields"),
            (" ", "is empty: write five fields"),
            ("daily", "\"daily\" has one field: "),
            ("0 9 * *", "\"0 9 * *\" has 4 fields: "),
            ("0 0 9 * * * 2026", "has 7 fields: "),
            ("every 5 minutes", "has 3 fields: "),
            ("0 9 * * mon\u{2013}fri", "contains '\u{2013}': "),
            ("0 9 * * \"mon\"", "contains '\"': "),
            ("0 9\n* * *", "contains '\\n': "),
            ("@reboot", "\"@reboot\" is no alias of a cron expression: write @yearly, "),
            ("@Daily", "@midnight or @hourly"),
        ] {
            let message = expression(text).expect_err(text);
            assert!(message.contains(why), "{text}: {message}");
        }
    }

    #[test]
    fn a_time_zone_has_the_letters_of_one() {
        for zone in ["UTC", "Europe/Vienna", "America/Port-au-Prince", "Etc/GMT+5", "America/Argentina/Buenos_Aires"] {
            assert_eq!(timezone(zone).as_deref(), Ok(zone));
        }
        for (zone, why) in [("", "is empty: "), ("Europe/New York", "contains ' ': "), ("+01:00", "contains ':': ")] {
            let message = timezone(zone).expect_err(zone);
            assert!(message.contains(why), "{zone}: {message}");
        }
    }

    #[test]
    fn missed_times_are_left_out_or_made_up_for() {
        for (text, answer) in [
            ("skip", Missed::Skip),
            ("once", Missed::Once),
            ("all", Missed::All(None)),
            ("all(1)", Missed::All(Some(1))),
            (" all ( 10000 ) ", Missed::All(Some(10_000))),
        ] {
            assert_eq!(missed(text), Ok(answer), "{text}");
        }
        for (text, why) in [
            ("", "`missed` cannot be \"\": "),
            ("none", "`missed` cannot be \"none\": "),
            ("some(3)", "`missed` cannot be \"some(3)\": "),
            ("all()", "`missed` cannot be \"all()\": all takes"),
            ("all(0)", "`missed` cannot be \"all(0)\": all takes"),
            ("all(10001)", "from 1 to 10000, "),
            ("all(-1)", "`missed` cannot be \"all(-1)\": all takes"),
        ] {
            let message = missed(text).expect_err(text);
            assert!(message.contains(why), "{text}: {message}");
        }
    }
}
