//! Reads a rate book strictly and names the first fault it meets (`fold.md` 2 and 6.2).

use std::collections::{BTreeMap, BTreeSet};

use super::amount::parse_decimal;
use super::book::{Book, Card, Channel, Meter, Rule, segments};
use super::calendar::{DAY, HOUR, Month, SECOND, parse_instant};
use super::json::{self, Value};

impl Book {
    pub fn parse(bytes: &[u8]) -> Result<Book, String> {
        let value = json::parse(bytes).ok_or("the book is not a JSON text")?;
        let mut members = Members::of("book", &value)?;
        members.text("id")?;
        let currencies = members.map("currencies", |place, value| {
            integer(place, value, 0, 6).map(|digits| digits as u32)
        })?;
        let enrolment_deadline = members.instant("enrolment_deadline")?;
        let dedup_horizon_ms = members.integer("dedup_horizon_days", 0, 100_000)? * DAY;
        let future_skew_ms = members.integer("future_skew_seconds", 0, 1_000_000_000)? * SECOND;
        let credit_validity_months = members.integer("credit_validity_months", 1, 12_000)?;
        let credits_end = members.instant("credits_end")?;
        let channels = members.list("credit_channels", Channel::parse)?;
        let cards = members.list("cards", Card::parse)?;
        members.end()?;
        let launch = cards
            .iter()
            .find(|card| card.tiers)
            .map_or(i64::MAX, |card| card.effective_from);
        let book = Book {
            currencies,
            enrolment_deadline,
            dedup_horizon_ms,
            future_skew_ms,
            credit_validity_months,
            credits_end,
            channels,
            cards,
            launch,
        };
        book.check()?;
        Ok(book)
    }

    /// The faults for which a book is refused as a whole (`fold.md` 6.2); those of one card are
    /// found where it is read.
    fn check(&self) -> Result<(), String> {
        if self.cards.is_empty() {
            return Err("cards: none".to_string());
        }
        let mut ids = BTreeSet::new();
        let mut priced = BTreeSet::new();
        for (index, card) in self.cards.iter().enumerate() {
            if index > 0 && card.effective_from <= self.cards[index - 1].effective_from {
                return Err(format!("card {}: effective_from does not ascend", card.id));
            }
            if !ids.insert(&card.id) {
                return Err(format!("card {}: the id repeats", card.id));
            }
            if card.tiers {
                if let Some(currency) = priced
                    .iter()
                    .find(|currency| !card.price_per_token.contains_key(**currency))
                {
                    return Err(format!(
                        "card {}: {currency} has no price any more",
                        card.id
                    ));
                }
                if let Some(currency) = card
                    .price_per_token
                    .keys()
                    .find(|id| !self.currencies.contains_key(*id))
                {
                    return Err(format!("card {}: {currency} is not in currencies", card.id));
                }
                priced.extend(card.price_per_token.keys());
            }
        }
        let last = Month::of(self.cards[self.cards.len() - 1].effective_from).next();
        let mut month = Month::of(self.cards[0].effective_from);
        while month < last {
            if self.close_instant(month) >= self.close_instant(month.next()) {
                return Err(format!(
                    "close instants do not ascend after {}",
                    month.text()
                ));
            }
            month = month.next();
        }
        Ok(())
    }
}

impl Card {
    fn parse(place: &str, value: &Value) -> Result<Card, String> {
        let mut members = Members::of(place, value)?;
        let id = members.text("id")?;
        let effective_from = members.instant("effective_from")?;
        let tiers = members.one_of("regime", &["legacy", "tiers"], None)? == "tiers";
        let whole_unit =
            members.one_of("charge_mode", &["whole_unit", "proportional"], None)? == "whole_unit";
        let close_grace_ms = members.integer("close_grace_hours", 0, 100_000)? * HOUR;
        let min_purchase_tokens = members.integer("min_purchase_tokens", 0, i64::MAX)?;
        let token_validity_months = members.integer("token_validity_months", 1, 12_000)?;
        let price_per_token = members.map("price_per_token", decimal)?;
        let tax_rates = if members.has("tax_rates") {
            members.map("tax_rates", |place, value| {
                decimal(place, value)?;
                text(place, value)
            })?
        } else {
            BTreeMap::new()
        };
        let cap_suspends_meter =
            members.one_of("cap_suspends", &["api", "meter"], Some("api"))? == "meter";
        let free_allowance_first =
            members.one_of("free_allowance_when_paid", &["none", "first"], Some("none"))?
                == "first";
        let write_off =
            members.one_of("shortfall_policy", &["carry", "write_off"], Some("carry"))?
                == "write_off";
        let (mut countries, mut payment_methods) = (BTreeSet::new(), BTreeSet::new());
        if let Some(postpay) = members.take("postpay") {
            let mut postpay = Members::of(&format!("{place}.postpay"), postpay)?;
            countries.extend(postpay.list("countries", text)?);
            payment_methods.extend(postpay.list("payment_methods", text)?);
            postpay.end()?;
        }
        let apis = members.map("apis", |place, value| {
            let mut api = Members::of(place, value)?;
            let roots = api.list("roots", |place, value| Ok(segments(&text(place, value)?)))?;
            api.end()?;
            Ok(roots)
        })?;
        let classify = members.list("classify", Rule::parse)?;
        let mut meters = BTreeMap::new();
        for meter in members.list("meters", Meter::parse)? {
            if let Some(twice) = meters.insert(meter.id.clone(), meter) {
                return Err(format!("{place}: meter {} repeats", twice.id));
            }
        }
        if members.has("volume_prices") {
            let steps = members.map("volume_prices", |place, value| {
                list(place, value, volume_step)
            })?;
            check_volume_prices(place, &steps, &price_per_token)?;
        }
        members.end()?;
        for rule in &classify {
            if let Some(meter) = rule
                .meter
                .as_ref()
                .filter(|meter| !meters.contains_key(*meter))
            {
                return Err(format!("{place}: a rule names the unknown meter {meter}"));
            }
        }
        if let Some(meter) = meters
            .values()
            .find(|meter| free_allowance_first && meter.free_cap.is_none())
        {
            return Err(format!(
                "{place}: free allowance first, but {} has no cap",
                meter.id
            ));
        }
        Ok(Card {
            id,
            effective_from,
            tiers,
            whole_unit,
            close_grace_ms,
            min_purchase_tokens,
            token_validity_months,
            price_per_token,
            tax_rates,
            cap_suspends_meter,
            free_allowance_first,
            write_off,
            countries,
            payment_methods,
            apis,
            classify,
            meters,
        })
    }
}

impl Rule {
    fn parse(place: &str, value: &Value) -> Result<Rule, String> {
        let mut members = Members::of(place, value)?;
        let mut field = |name: &str| {
            members
                .take(name)
                .map(|value| text(&format!("{place}.{name}"), value))
                .transpose()
        };
        let (api, engine, method, path) = (
            field("api")?,
            field("engine")?,
            field("method")?,
            field("path")?,
        );
        let source_format = members
            .take("source_format")
            .map(|value| list(&format!("{place}.source_format"), value, text))
            .transpose()?;
        let meter = match members.need("meter")? {
            Value::Null => None,
            value => Some(text(&format!("{place}.meter"), value)?),
        };
        members.end()?;
        Ok(Rule {
            api,
            engine,
            method,
            path: path.map(|path| segments(&path)),
            source_format,
            meter,
        })
    }
}

impl Meter {
    fn parse(place: &str, value: &Value) -> Result<Meter, String> {
        let mut members = Members::of(place, value)?;
        let (id, api) = (members.text("id")?, members.text("api")?);
        members.text("measure")?;
        let unit = i128::from(members.integer("unit", 1, i64::MAX)?);
        let tokens = i128::from(members.integer("tokens", 1, i64::MAX)?);
        let free_cap = match members.take("free_cap") {
            None | Some(Value::Null) => None,
            Some(value) => Some(i128::from(integer(
                &format!("{place}.free_cap"),
                value,
                1,
                i64::MAX,
            )?)),
        };
        let mut billable = Members::of(&format!("{place}.billable"), members.need("billable")?)?;
        let billable_statuses = if billable.has("statuses") {
            billable.list("statuses", text)?
        } else {
            Vec::new()
        };
        let http_status_below = if billable.has("http_status_below") {
            Some(billable.integer("http_status_below", 0, i64::MAX)?)
        } else {
            None
        };
        billable.end()?;
        members.end()?;
        Ok(Meter {
            id,
            api,
            unit,
            tokens,
            free_cap,
            billable_statuses,
            http_status_below,
        })
    }
}

impl Channel {
    fn parse(place: &str, value: &Value) -> Result<Channel, String> {
        let mut members = Members::of(place, value)?;
        let channel = members.text("channel")?;
        let packs = members.list("packs", |place, value| integer(place, value, 1, i64::MAX))?;
        let account_kinds = members.list("account_kinds", text)?;
        let purpose = members.one_of("purpose", &["api", "subscription"], None)?;
        members.text("currency")?;
        let mut price_per_credit = BTreeMap::new();
        for (pack, price) in members.map("price_per_credit", decimal)? {
            let pack = pack
                .parse()
                .map_err(|_| format!("{place}.price_per_credit: {pack} is no pack size"))?;
            price_per_credit.insert(pack, price);
        }
        let tax_rate = members.need("tax_rate")?;
        decimal(&format!("{place}.tax_rate"), tax_rate)?;
        let mut bound = |name: &str| match members.need(name)? {
            Value::Null => Ok(None),
            value => instant(&format!("{place}.{name}"), value).map(Some),
        };
        let (available_from, available_to) = (bound("available_from")?, bound("available_to")?);
        members.end()?;
        Ok(Channel {
            channel,
            packs,
            account_kinds,
            purpose,
            price_per_credit,
            available_from,
            available_to,
        })
    }
}

fn volume_step(place: &str, value: &Value) -> Result<(i64, i128), String> {
    let mut step = Members::of(place, value)?;
    let from = step.integer("from", 1, i64::MAX)?;
    let price = decimal(&format!("{place}.price"), step.need("price")?)?;
    step.end()?;
    Ok((from, price))
}

/// `from` ascends strictly, prices do not rise, and each currency has a price per token (`fold.md`
/// 6.2).
fn check_volume_prices(
    place: &str,
    steps: &BTreeMap<String, Vec<(i64, i128)>>,
    price_per_token: &BTreeMap<String, i128>,
) -> Result<(), String> {
    for (currency, steps) in steps {
        let Some(mut price_before) = price_per_token.get(currency).copied() else {
            return Err(format!(
                "{place}.volume_prices: {currency} has no price_per_token"
            ));
        };
        let mut from_before = 0;
        for (from, price) in steps {
            if *from <= from_before || *price > price_before {
                return Err(format!(
                    "{place}.volume_prices: {currency} from {from} is out of order"
                ));
            }
            (from_before, price_before) = (*from, *price);
        }
    }
    Ok(())
}

/// The members of one object of the book, taken out one by one; what is left at the end is unknown.
struct Members<'a> {
    place: String,
    left: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Members<'a> {
    fn of(place: &str, value: &'a Value) -> Result<Members<'a>, String> {
        let Value::Object(members) = value else {
            return Err(format!("{place}: not an object"));
        };
        let mut left: BTreeMap<_, _> = members
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        // Comments, wherever they stand (`fold.md` 2).
        left.remove("notice");
        left.remove("source");
        Ok(Members {
            place: place.to_string(),
            left,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    fn take(&mut self, name: &str) -> Option<&'a Value> {
        self.left.remove(name)
    }

    fn need(&mut self, name: &str) -> Result<&'a Value, String> {
        self.take(name)
            .ok_or(format!("{}.{name}: missing", self.place))
    }

    fn text(&mut self, name: &str) -> Result<String, String> {
        text(&format!("{}.{name}", self.place), self.need(name)?)
    }

    fn instant(&mut self, name: &str) -> Result<i64, String> {
        instant(&format!("{}.{name}", self.place), self.need(name)?)
    }

    fn integer(&mut self, name: &str, min: i64, max: i64) -> Result<i64, String> {
        integer(
            &format!("{}.{name}", self.place),
            self.need(name)?,
            min,
            max,
        )
    }

    fn one_of(
        &mut self,
        name: &str,
        choices: &[&str],
        default: Option<&str>,
    ) -> Result<String, String> {
        let choice = match (self.has(name), default) {
            (false, Some(default)) => default.to_string(),
            _ => self.text(name)?,
        };
        if choices.contains(&choice.as_str()) {
            Ok(choice)
        } else {
            Err(format!("{}.{name}: {choice}", self.place))
        }
    }

    fn list<T>(
        &mut self,
        name: &str,
        item: impl Fn(&str, &Value) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        list(&format!("{}.{name}", self.place), self.need(name)?, item)
    }

    fn map<T>(
        &mut self,
        name: &str,
        item: impl Fn(&str, &Value) -> Result<T, String>,
    ) -> Result<BTreeMap<String, T>, String> {
        let inner = Members::of(&format!("{}.{name}", self.place), self.need(name)?)?;
        let read = |(key, value): (&&str, &&Value)| {
            Ok((
                key.to_string(),
                item(&format!("{}.{key}", inner.place), value)?,
            ))
        };
        inner.left.iter().map(read).collect()
    }

    fn end(self) -> Result<(), String> {
        match self.left.keys().next() {
            Some(name) => Err(format!("{}.{name}: unknown member", self.place)),
            None => Ok(()),
        }
    }
}

fn list<T>(
    place: &str,
    value: &Value,
    item: impl Fn(&str, &Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let Value::Array(items) = value else {
        return Err(format!("{place}: not a list"));
    };
    items
        .iter()
        .enumerate()
        .map(|(index, value)| item(&format!("{place}[{index}]"), value))
        .collect()
}

fn text(place: &str, value: &Value) -> Result<String, String> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_string)
        .ok_or(format!("{place}: not a string with content"))
}

fn instant(place: &str, value: &Value) -> Result<i64, String> {
    value
        .as_str()
        .and_then(parse_instant)
        .ok_or(format!("{place}: not an instant"))
}

fn integer(place: &str, value: &Value, min: i64, max: i64) -> Result<i64, String> {
    let integer = value
        .as_integer()
        .filter(|integer| (min..=max).contains(integer));
    integer.ok_or(format!("{place}: not an integer in {min}..={max}"))
}

/// A rate or price, in millionths; it is not negative.
fn decimal(place: &str, value: &Value) -> Result<i128, String> {
    let decimal = value
        .as_str()
        .and_then(parse_decimal)
        .filter(|decimal| *decimal >= 0);
    decimal.ok_or(format!("{place}: not a decimal string"))
}
