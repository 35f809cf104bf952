//! Places on the earth as numbers: geohashes of 52 bits, distances, and which ranges of geohashes an area covers.
//!
//! ```text
//!  52 bits   lon lat lon lat …      26 bits each, highest first: how far the place is along its range, halved again and again
//! ```
//!
//! Numbers near each other are places near each other, so an area is looked for in the cell that its centre is in and in the
//! eight around it, at the step at which these nine cover it. Cells and their order are Redis's, since replies follow them.

use std::f64::consts::PI;
use std::ops::Range;

pub const LONGITUDE: Range<f64> = -180.0..180.0;
/// As far as a square map of the earth reaches.
pub const LATITUDE: Range<f64> = -85.051_128_78..85.051_128_78;
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half of the earth's width on that map, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;
/// Bits of each coordinate.
const STEP_MAX: u32 = 26;

/// A place in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub longitude: f64,
    pub latitude: f64,
}

impl Point {
    /// Whether the place is on the map (its edges included).
    pub fn is_valid(&self) -> bool {
        (LONGITUDE.start..=LONGITUDE.end).contains(&self.longitude)
            && (LATITUDE.start..=LATITUDE.end).contains(&self.latitude)
    }

    /// Its geohash of 52 bits, as scores hold it. At the very edge of the map it has one more, as Redis's.
    pub fn encode(&self) -> u64 {
        Cell::of(*self, STEP_MAX, &LATITUDE).bits
    }

    /// The middle of the cell that a geohash of 52 bits names.
    pub fn decode(bits: u64) -> Point {
        let area = Cell { bits, step: STEP_MAX }.area();
        let middle =
            |range: &Range<f64>, limits: &Range<f64>| ((range.start + range.end) / 2.0).clamp(limits.start, limits.end);
        Point { longitude: middle(&area.longitude, &LONGITUDE), latitude: middle(&area.latitude, &LATITUDE) }
    }

    /// The eleven letters of the usual geohash (GEOHASH), whose latitude goes from pole to pole.
    pub fn geohash(&self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = Cell::of(*self, STEP_MAX, &(-90.0..90.0)).bits;
        // 52 bits make ten letters and two bits, which Redis leaves out.
        std::array::from_fn(|at| if at < 10 { LETTERS[(bits >> (47 - 5 * at)) as usize & 31] } else { b'0' })
    }

    /// Metres between two places on a sphere, by the haversine formula.
    pub fn distance(&self, other: &Point) -> f64 {
        let v = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if v == 0.0 {
            return latitude_distance(self.latitude, other.latitude);
        }
        let (latitude, other_latitude) = (radians(self.latitude), radians(other.latitude));
        let u = ((other_latitude - latitude) / 2.0).sin();
        let a = u * u + latitude.cos() * other_latitude.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }
}

fn radians(degrees: f64) -> f64 {
    degrees * (PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (PI / 180.0)
}

fn latitude_distance(one: f64, other: f64) -> f64 {
    EARTH_RADIUS * (radians(other) - radians(one)).abs()
}

/// A cell of the map: the highest `2 × step` bits of the geohashes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    bits: u64,
    step: u32,
}

/// What a cell or a shape covers, in degrees.
#[derive(Clone, Debug)]
struct Area {
    longitude: Range<f64>,
    latitude: Range<f64>,
}

/// Puts the low 32 bits of a number on the even places.
fn spread(value: u64) -> u64 {
    const STEPS: [(u32, u64); 5] = [
        (16, 0x0000_FFFF_0000_FFFF),
        (8, 0x00FF_00FF_00FF_00FF),
        (4, 0x0F0F_0F0F_0F0F_0F0F),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ];
    STEPS.iter().fold(value & 0xFFFF_FFFF, |sum, (shift, mask)| (sum | sum << shift) & mask)
}

/// Undoes [`spread`].
fn gather(value: u64) -> u64 {
    const STEPS: [(u32, u64); 5] = [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0F0F_0F0F_0F0F_0F0F),
        (4, 0x00FF_00FF_00FF_00FF),
        (8, 0x0000_FFFF_0000_FFFF),
        (16, 0x0000_0000_FFFF_FFFF),
    ];
    STEPS.iter().fold(value & 0x5555_5555_5555_5555, |sum, (shift, mask)| (sum | sum >> shift) & mask)
}

impl Cell {
    fn of(point: Point, step: u32, latitudes: &Range<f64>) -> Cell {
        let share = |value: f64, range: &Range<f64>| {
            ((value - range.start) / (range.end - range.start) * (1u64 << step) as f64) as u32
        };
        let (x, y) = (share(point.longitude, &LONGITUDE), share(point.latitude, latitudes));
        Cell { bits: spread(u64::from(y)) | spread(u64::from(x)) << 1, step }
    }

    fn area(self) -> Area {
        let range = |value: u64, limits: &Range<f64>| {
            let (scale, cells) = (limits.end - limits.start, (1u64 << self.step) as f64);
            let at = |value: u64| limits.start + value as f64 / cells * scale;
            at(value)..at(value + 1)
        };
        Area { longitude: range(gather(self.bits >> 1), &LONGITUDE), latitude: range(gather(self.bits), &LATITUDE) }
    }

    /// The cell so many to the east and to the north; the map's edges touch. A place at the very edge is in a cell beyond it, and
    /// so is, as in Redis, what lies in the same row or column.
    fn neighbour(self, east: i64, north: i64) -> Cell {
        let mask = (1u64 << self.step) - 1;
        let go = |at: u64, by: i64| if by == 0 { at } else { at.wrapping_add_signed(by) & mask };
        let (x, y) = (go(gather(self.bits >> 1), east), go(gather(self.bits), north));
        Cell { bits: spread(y) | spread(x) << 1, step: self.step }
    }

    /// The geohashes of 52 bits that are in it.
    fn scores(self) -> Range<u64> {
        let shift = 2 * (STEP_MAX - self.step);
        self.bits << shift..(self.bits + 1) << shift
    }
}

/// What GEOSEARCH looks for; lengths in metres.
#[derive(Clone, Debug)]
pub enum Shape {
    Circle {
        centre: Point,
        radius: f64,
    },
    /// A rectangle along the axes of the map.
    Rectangle {
        centre: Point,
        width: f64,
        height: f64,
    },
    /// The inside of a line that closes; at least three corners.
    Polygon {
        corners: Vec<Point>,
    },
}

impl Shape {
    /// The distance of a place from the shape's centre if the place is inside, edges included.
    pub fn distance_inside(&self, point: &Point) -> Option<f64> {
        match self {
            Shape::Circle { centre, radius } => Some(centre.distance(point)).filter(|distance| distance <= radius),
            Shape::Rectangle { centre, width, height } => {
                let along = Point { longitude: centre.longitude, latitude: point.latitude };
                let is_inside = latitude_distance(point.latitude, centre.latitude) <= height / 2.0
                    && point.distance(&along) <= width / 2.0;
                is_inside.then(|| centre.distance(point))
            }
            Shape::Polygon { corners } => is_inside(corners, point).then(|| self.centre().distance(point)),
        }
    }

    /// The place that distances are measured from.
    pub fn centre(&self) -> Point {
        match self {
            Shape::Circle { centre, .. } | Shape::Rectangle { centre, .. } => *centre,
            Shape::Polygon { corners } => mean(corners),
        }
    }

    /// The degrees that it reaches to, and how far its farthest point is from the centre of these, in metres.
    fn bounds(&self) -> (Point, Area, f64) {
        let (centre, width, height, radius) = match self {
            Shape::Circle { centre, radius } => (*centre, *radius, *radius, *radius),
            Shape::Rectangle { centre, width, height } => {
                let (half_width, half_height) = (width / 2.0, height / 2.0);
                (*centre, half_width, half_height, (half_width * half_width + half_height * half_height).sqrt())
            }
            Shape::Polygon { corners } => return polygon_bounds(corners),
        };
        let north = degrees(height / EARTH_RADIUS);
        let east_at = |latitude: f64| degrees(width / EARTH_RADIUS / radians(latitude).cos());
        // A degree is the shorter, the nearer the pole.
        let east = east_at(if centre.latitude < 0.0 { centre.latitude - north } else { centre.latitude + north });
        let area = Area {
            longitude: centre.longitude - east..centre.longitude + east,
            latitude: centre.latitude - north..centre.latitude + north,
        };
        (centre, area, radius)
    }

    /// The ranges of geohashes of 52 bits in which all of its places are, in the order in which Redis searches them. Half open.
    pub fn score_ranges(&self) -> Vec<Range<u64>> {
        let (centre, bounds, radius) = self.bounds();
        let mut step = step_for(radius, centre.latitude);
        let mut cell = Cell::of(centre, step, &LATITUDE);
        if step > 1 && !reaches(cell, &bounds) {
            step -= 1;
            cell = Cell::of(centre, step, &LATITUDE);
        }
        let area = cell.area();
        let mut cells: Vec<Cell> = Vec::with_capacity(9);
        // The centre, the four beside it, then the corners.
        for (east, north) in [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)] {
            let is_needless = step >= 2
                && ((north < 0 && area.latitude.start < bounds.latitude.start)
                    || (north > 0 && area.latitude.end > bounds.latitude.end)
                    || (east < 0 && area.longitude.start < bounds.longitude.start)
                    || (east > 0 && area.longitude.end > bounds.longitude.end));
            let neighbour = cell.neighbour(east, north);
            if !is_needless && !cells.contains(&neighbour) {
                cells.push(neighbour);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }
}

/// Whether the cells around this one reach to the edges of the area.
fn reaches(cell: Cell, bounds: &Area) -> bool {
    cell.neighbour(0, 1).area().latitude.end >= bounds.latitude.end
        && cell.neighbour(0, -1).area().latitude.start <= bounds.latitude.start
        && cell.neighbour(1, 0).area().longitude.end >= bounds.longitude.end
        && cell.neighbour(-1, 0).area().longitude.start <= bounds.longitude.start
}

/// The step at which nine cells cover a circle of that radius.
fn step_for(radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return STEP_MAX;
    }
    let mut step = 1i32;
    let mut reach = radius;
    while reach < MERCATOR_MAX {
        reach *= 2.0;
        step += 1;
    }
    // Twice as many as would just cover it, and more towards the poles, where cells are narrow.
    step -= 2;
    if latitude.abs() > 66.0 {
        step -= 1;
        if latitude.abs() > 80.0 {
            step -= 1;
        }
    }
    step.clamp(1, STEP_MAX as i32) as u32
}

fn polygon_bounds(corners: &[Point]) -> (Point, Area, f64) {
    let range = |of: fn(&Point) -> f64| {
        corners.iter().map(of).fold(f64::INFINITY, f64::min)..corners.iter().map(of).fold(f64::NEG_INFINITY, f64::max)
    };
    let area = Area { longitude: range(|point| point.longitude), latitude: range(|point| point.latitude) };
    let centre = Point {
        longitude: (area.longitude.start + area.longitude.end) / 2.0,
        latitude: (area.latitude.start + area.latitude.end) / 2.0,
    };
    let ends = [area.longitude.start, area.longitude.end]
        .into_iter()
        .flat_map(|longitude| [area.latitude.start, area.latitude.end].map(|latitude| Point { longitude, latitude }));
    let radius = ends.map(|corner| centre.distance(&corner)).fold(0.0, f64::max);
    (centre, area, radius)
}

/// The mean of places seen as directions from the earth's centre.
fn mean(points: &[Point]) -> Point {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for point in points {
        let (longitude, latitude) = (radians(point.longitude), radians(point.latitude));
        x += latitude.cos() * longitude.cos();
        y += latitude.cos() * longitude.sin();
        z += latitude.sin();
    }
    Point { longitude: degrees(y.atan2(x)), latitude: degrees(z.atan2(x.hypot(y))) }
}

/// Whether a ray from the place crosses the polygon's line an odd number of times.
fn is_inside(corners: &[Point], point: &Point) -> bool {
    let mut inside = false;
    let mut before = corners[corners.len() - 1];
    for &corner in corners {
        let crosses = (corner.latitude > point.latitude) != (before.latitude > point.latitude);
        if crosses {
            let share = (point.latitude - corner.latitude) / (before.latitude - corner.latitude);
            let longitude = corner.longitude + share * (before.longitude - corner.longitude);
            inside ^= point.longitude < longitude;
        }
        before = corner;
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point() -> impl Strategy<Value = Point> {
        (-180.0f64..180.0, -85.05f64..85.05).prop_map(|(longitude, latitude)| Point { longitude, latitude })
    }

    fn numbers(text: &str) -> Vec<f64> {
        text.split_whitespace().map(|number| number.parse().expect("a number")).collect()
    }

    fn place(numbers: &[f64]) -> Point {
        Point { longitude: numbers[0], latitude: numbers[1] }
    }

    fn found(shape: &Shape, places: &[u64]) -> String {
        let mut names = Vec::new();
        for range in shape.score_ranges() {
            let mut here: Vec<_> = places.iter().enumerate().filter(|(_, score)| range.contains(score)).collect();
            here.sort_by_key(|(index, score)| (**score, index.to_string()));
            for (index, score) in here {
                if let Some(distance) = shape.distance_inside(&Point::decode(*score)) {
                    names.push(format!("{index}:{distance:.4}"));
                }
            }
        }
        names.join(" ")
    }

    /// `tests/samples/geo.tsv` was recorded from redis-server 7.0.15, and the polygons from valkey-server 9.1.2. Its lines: places
    /// with their scores, positions and geohashes, then searches over all of them with what was found, in order.
    #[test]
    fn as_redis_has_it() {
        let mut places = Vec::new();
        let (mut searches, mut polygons) = (0, 0);
        for line in include_str!("../tests/samples/geo.tsv").lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let given = numbers(columns[1]);
            match columns[0] {
                "place" => {
                    let score: u64 = columns[2].parse().expect("a score");
                    // The score is a double, which the easternmost places just exceed.
                    assert_eq!(place(&given).encode() as f64, score as f64, "{line}");
                    let (decoded, position) = (Point::decode(score), place(&numbers(columns[3])));
                    assert!((decoded.longitude - position.longitude).abs() < 1e-15 * 180.0, "{line}");
                    assert!((decoded.latitude - position.latitude).abs() < 1e-15 * 180.0, "{line}");
                    assert_eq!(Point::decode(score).geohash(), columns[4].as_bytes(), "{line}");
                    places.push(score);
                }
                "circle" => {
                    let shape = Shape::Circle { centre: place(&given), radius: given[2] };
                    assert_eq!(found(&shape, &places), columns[2], "{line}");
                    searches += 1;
                }
                "rectangle" => {
                    let shape = Shape::Rectangle { centre: place(&given), width: given[2], height: given[3] };
                    assert_eq!(found(&shape, &places), columns[2], "{line}");
                    searches += 1;
                }
                _ => {
                    let shape = Shape::Polygon { corners: given.chunks(2).map(place).collect() };
                    let sorted = |text: &str| {
                        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                        words.sort_unstable();
                        words
                    };
                    assert_eq!(sorted(&found(&shape, &places)), sorted(columns[2]), "{line}");
                    polygons += 1;
                }
            }
        }
        assert!(places.len() > 100 && searches > 100 && polygons > 20);
    }

    proptest! {
        #[test]
        fn bits_spread_and_gather(value: u32) {
            prop_assert_eq!(gather(spread(u64::from(value))), u64::from(value));
        }

        /// A place comes back as one in the same cell, less than a metre away.
        #[test]
        fn decoded_is_near(point in point()) {
            let bits = point.encode();
            prop_assert!(Point::decode(bits).distance(&point) < 1.0);
            prop_assert_eq!(Point::decode(bits).encode(), bits);
            prop_assert!(bits < 1 << 52);
        }

        /// Whatever is inside a shape is in its ranges.
        #[test]
        fn ranges_cover(centre in point(), radius in 1.0f64..500_000.0, other in point(), share in 0.0f64..1.0) {
            prop_assume!(centre.latitude.abs() < 75.0);
            let near = Point {
                longitude: centre.longitude + (other.longitude - centre.longitude) * share * share * 0.02,
                latitude: centre.latitude + (other.latitude - centre.latitude) * share * share * 0.02,
            };
            let circle = Shape::Circle { centre, radius };
            let rectangle = Shape::Rectangle { centre, width: radius, height: radius * 1.5 };
            for shape in [circle, rectangle] {
                let bits = near.encode();
                if shape.distance_inside(&Point::decode(bits)).is_some() {
                    prop_assert!(shape.score_ranges().iter().any(|range| range.contains(&bits)));
                }
            }
        }
    }
}
