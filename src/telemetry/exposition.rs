//! Metrics as text: the classic format of Prometheus, or OpenMetrics 1.0.

use std::fmt::Write as _;

use prometheus::TextEncoder;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// How `/metrics` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Classic,
    OpenMetrics,
}

impl Format {
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What a header `Accept` asks for: OpenMetrics 1.0 if it is named and nothing else that we
    /// speak is preferred; else the classic format.
    pub fn accepted(accept: &str) -> Format {
        let (mut classic, mut open) = (0.0, 0.0);
        for choice in accept.split(',') {
            let mut parts = choice.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1.0, None);
            for parameter in parts {
                match parameter.split_once('=') {
                    Some(("q", value)) => quality = value.parse().unwrap_or(0.0),
                    Some(("version", value)) => version = Some(value),
                    _ => {}
                }
            }
            match media_type.as_str() {
                "application/openmetrics-text" if version.is_none_or(|text| text == "1.0.0") => {
                    open = f64::max(open, quality);
                }
                "text/plain" => classic = f64::max(classic, quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= classic {
            Format::OpenMetrics
        } else {
            Format::Classic
        }
    }
}

pub fn render(families: &[MetricFamily], format: Format) -> String {
    match format {
        Format::Classic => TextEncoder::new()
            .encode_to_string(families)
            .expect("families come out of a registry, which checked them"),
        Format::OpenMetrics => open_metrics(families),
    }
}

fn open_metrics(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families {
        let kind = family.get_field_type();
        // A counter's family is named without the ending of its samples.
        let name = match kind {
            MetricType::COUNTER => family.name().trim_end_matches("_total"),
            _ => family.name(),
        };
        let kind_name = match kind {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            _ => "histogram",
        };
        let _ = writeln!(text, "# TYPE {name} {kind_name}");
        let unit = name.rsplit('_').next().unwrap_or_default();
        if matches!(unit, "seconds" | "bytes" | "ratio") {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(text, "# HELP {name} {}", escape(family.help()));
        for metric in family.get_metric() {
            match kind {
                MetricType::COUNTER => {
                    let value = metric.get_counter().get_value();
                    sample(&mut text, name, "_total", metric, None, value);
                }
                MetricType::GAUGE => {
                    let value = metric.get_gauge().get_value();
                    sample(&mut text, name, "", metric, None, value);
                }
                _ => histogram(&mut text, name, metric),
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

fn histogram(text: &mut String, name: &str, metric: &Metric) {
    let histogram = metric.get_histogram();
    for bucket in histogram.get_bucket() {
        let bound = number(bucket.upper_bound());
        let count = bucket.cumulative_count() as f64;
        sample(text, name, "_bucket", metric, Some(&bound), count);
    }
    let count = histogram.get_sample_count() as f64;
    sample(text, name, "_bucket", metric, Some("+Inf"), count);
    let sum = histogram.get_sample_sum();
    sample(text, name, "_sum", metric, None, sum);
    sample(text, name, "_count", metric, None, count);
}

fn sample(
    text: &mut String,
    name: &str,
    ending: &str,
    metric: &Metric,
    bound: Option<&str>,
    value: f64,
) {
    text.push_str(name);
    text.push_str(ending);
    let labels = metric.get_label().iter().map(LabelPair::name);
    let values = metric.get_label().iter().map(LabelPair::value);
    let pairs = labels.zip(values).chain(bound.map(|bound| ("le", bound)));
    let mut separator = '{';
    for (label, value) in pairs {
        let _ = write!(text, "{separator}{label}=\"{}\"", escape(value));
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
    let _ = writeln!(text, " {value}");
}

/// Bounds have a point, so that 1 and 1.0 are not two buckets.
fn number(bound: f64) -> String {
    format!("{bound:?}")
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{HistogramOpts, HistogramVec, IntCounter, Registry};

    #[test]
    fn open_metrics_is_given_to_those_who_ask() {
        let prometheus = "application/openmetrics-text;version=1.0.0,\
             application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(
            Format::accepted("application/openmetrics-text"),
            Format::OpenMetrics
        );
        assert_eq!(
            Format::accepted("application/openmetrics-text; q=0"),
            Format::Classic
        );
        let older = "application/openmetrics-text;version=0.0.1";
        assert_eq!(Format::accepted(older), Format::Classic);
        let classic = "application/openmetrics-text;q=0.2, text/plain";
        assert_eq!(Format::accepted(classic), Format::Classic);
        assert_eq!(Format::accepted("*/*"), Format::Classic);
        assert_eq!(Format::accepted(""), Format::Classic);
    }

    #[test]
    fn open_metrics_to_the_letter() {
        let registry = Registry::new();
        let counter = IntCounter::new("a_total", "what \"a\" is").unwrap();
        counter.inc_by(3);
        let options = HistogramOpts::new("b_seconds", "b").buckets(vec![0.5, 1.0]);
        let histogram = HistogramVec::new(options, &["c"]).unwrap();
        histogram.with_label_values(&["d\"\\"]).observe(0.75);
        registry.register(Box::new(counter)).unwrap();
        registry.register(Box::new(histogram)).unwrap();
        let expected = r##"# TYPE a counter
# HELP a what \"a\" is
a_total 3
# TYPE b_seconds histogram
# UNIT b_seconds seconds
# HELP b_seconds b
b_seconds_bucket{c="d\"\\",le="0.5"} 0
b_seconds_bucket{c="d\"\\",le="1.0"} 1
b_seconds_bucket{c="d\"\\",le="+Inf"} 1
b_seconds_sum{c="d\"\\"} 0.75
b_seconds_count{c="d\"\\"} 1
# EOF
"##;
        assert_eq!(render(&registry.gather(), Format::OpenMetrics), expected);
    }
}
