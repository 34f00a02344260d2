//! The families of the table, alive: a counter, gauge or histogram a row, in one registry.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry};

use super::table::{Metric, Row, Shape, TABLE, Values};

pub struct Families {
    registry: Registry,
    /// In the order of the table, which is that of [`Metric`].
    families: Vec<Family>,
}

enum Family {
    Counter(CounterVec),
    Gauge(GaugeVec),
    Histogram(HistogramVec),
}

impl Families {
    /// Every family, and every series that does not wait for a partition or a name, at 0.
    pub fn new(topics: &[String]) -> Families {
        let registry = Registry::new();
        let families = TABLE.iter().map(|row| Family::new(row, &registry, topics));
        let families = families.collect();
        Families { registry, families }
    }

    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// Adds to a counter. Zero still makes the series.
    pub fn add(&self, metric: Metric, labels: &[&str], amount: f64) {
        self.counter(metric)
            .with_label_values(labels)
            .inc_by(amount);
    }

    pub fn set(&self, metric: Metric, labels: &[&str], value: f64) {
        self.gauge(metric).with_label_values(labels).set(value);
    }

    pub fn observe(&self, metric: Metric, labels: &[&str], value: f64) {
        self.histogram(metric)
            .with_label_values(labels)
            .observe(value);
    }

    pub fn counter(&self, metric: Metric) -> &CounterVec {
        match self.family(metric) {
            Family::Counter(counter) => counter,
            _ => panic!("{metric:?} is not a counter"),
        }
    }

    pub fn gauge(&self, metric: Metric) -> &GaugeVec {
        match self.family(metric) {
            Family::Gauge(gauge) => gauge,
            _ => panic!("{metric:?} is not a gauge"),
        }
    }

    pub fn histogram(&self, metric: Metric) -> &HistogramVec {
        match self.family(metric) {
            Family::Histogram(histogram) => histogram,
            _ => panic!("{metric:?} is not a histogram"),
        }
    }

    /// Takes away the gauges of all partitions and brokers; those that are still there are set again
    /// at once.
    pub fn reset_fleeting_gauges(&self) {
        for (row, family) in TABLE.iter().zip(&self.families) {
            if let (true, Family::Gauge(gauge)) = (row.is_fleeting(), family) {
                gauge.reset();
            }
        }
    }

    /// Takes away a series of a counter, which begins at 0 when it comes back.
    pub fn remove_counter(&self, metric: Metric, labels: &[&str]) {
        // An error says that there was none.
        let _ = self.counter(metric).remove_label_values(labels);
    }

    fn family(&self, metric: Metric) -> &Family {
        &self.families[metric as usize]
    }
}

impl Family {
    fn new(row: &Row, registry: &Registry, topics: &[String]) -> Family {
        let names: Vec<&str> = row.labels.iter().map(|label| label.name).collect();
        let family = match row.shape {
            Shape::Counter => {
                CounterVec::new(Opts::new(row.name, row.help), &names).map(Family::Counter)
            }
            Shape::Gauge => GaugeVec::new(Opts::new(row.name, row.help), &names).map(Family::Gauge),
            Shape::Histogram(bounds) => {
                let options = HistogramOpts::new(row.name, row.help).buckets(bounds.to_vec());
                HistogramVec::new(options, &names).map(Family::Histogram)
            }
        };
        let family = family.expect("the table holds valid names");
        let collector: Box<dyn Collector> = match &family {
            Family::Counter(counter) => Box::new(counter.clone()),
            Family::Gauge(gauge) => Box::new(gauge.clone()),
            Family::Histogram(histogram) => Box::new(histogram.clone()),
        };
        registry
            .register(collector)
            .expect("the table holds each name once");
        for labels in known_series(row, topics) {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            match &family {
                Family::Counter(counter) => drop(counter.with_label_values(&labels)),
                Family::Gauge(gauge) => drop(gauge.with_label_values(&labels)),
                Family::Histogram(histogram) => drop(histogram.with_label_values(&labels)),
            }
        }
        family
    }
}

/// Every combination of the values of a row's labels; none where one of them is not known yet.
fn known_series(row: &Row, topics: &[String]) -> Vec<Vec<String>> {
    let mut series = vec![Vec::new()];
    for label in row.labels {
        let values: Vec<String> = match label.values {
            Values::Known(values) => values().into_iter().map(str::to_owned).collect(),
            Values::Topics => topics.to_vec(),
            Values::OwnedPartitions | Values::Brokers | Values::Identity => Vec::new(),
        };
        let longer = series.iter().flat_map(|labels: &Vec<String>| {
            values.iter().map(|value| {
                let mut labels = labels.clone();
                labels.push(value.clone());
                labels
            })
        });
        series = longer.collect();
    }
    series
}
