//! What a search asks for: GEOSEARCH, GEOSEARCHSTORE, and the forms of GEORADIUS before them.
//!
//! Members are looked up while the options are read, since which complaint comes first depends on it, as in Redis.

use pinyon_base::number::{parse_f64, parse_i64};
use pinyon_resp::Args;
use pinyon_values::geo::{Point, Shape};
use pinyon_values::zset::ZSet;

use super::place::point;
use super::{place_of, unit};
use crate::CommandError;

/// Which command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// GEORADIUS
    Around,
    /// GEORADIUSBYMEMBER
    AroundMember,
    /// GEORADIUS_RO
    AroundOnly,
    /// GEORADIUSBYMEMBER_RO
    AroundMemberOnly,
    Search,
    SearchStore,
}

/// The order of what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    AsFound,
    Nearest,
    Farthest,
}

/// The extent of a shape, in metres.
#[derive(Clone, Debug)]
enum Extent {
    Radius(f64),
    Box { width: f64, height: f64 },
    Polygon(Vec<Point>),
}

/// A search.
#[derive(Debug)]
pub(super) struct Search {
    pub with_distance: bool,
    pub with_hash: bool,
    pub with_place: bool,
    pub any: bool,
    pub order: Order,
    /// 0: all.
    pub count: usize,
    /// Position of the key to store under.
    pub store_at: Option<usize>,
    pub store_distance: bool,
    /// Metres in the unit of the distances.
    pub unit: f64,
    centre: Option<Point>,
    extent: Option<Extent>,
    from_member: bool,
    from_place: bool,
}

impl Form {
    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }

    fn is_of_member(self) -> bool {
        matches!(self, Form::AroundMember | Form::AroundMemberOnly)
    }

    /// Where the options begin.
    fn options_at(self) -> usize {
        match self {
            Form::Around | Form::AroundOnly => 6,
            Form::AroundMember | Form::AroundMemberOnly => 5,
            Form::Search => 2,
            Form::SearchStore => 3,
        }
    }
}

impl Search {
    /// Reads the arguments of a search in `zset`, which may be missing.
    pub fn parse(args: Args<'_>, form: Form, zset: Option<&ZSet>) -> Result<Search, CommandError> {
        let mut search = Search {
            with_distance: false,
            with_hash: false,
            with_place: false,
            any: false,
            order: Order::AsFound,
            count: 0,
            store_at: (form == Form::SearchStore).then_some(1),
            store_distance: false,
            unit: 1.0,
            centre: None,
            extent: None,
            from_member: false,
            from_place: false,
        };
        match form {
            Form::Around | Form::AroundOnly => {
                search.centre = Some(point(args.get(2), args.get(3))?);
                search.take_radius(args, 4)?;
            }
            Form::AroundMember | Form::AroundMemberOnly => {
                // Without a source only the options are looked at.
                if let Some(zset) = zset {
                    search.centre = Some(member_of(zset, args.get(2))?);
                    search.take_radius(args, 3)?;
                }
            }
            Form::Search | Form::SearchStore => {}
        }
        let mut at = form.options_at();
        while at < args.len() {
            at += search.take(args, at, form, zset)?;
        }
        search.check(args, form)?;
        Ok(search)
    }

    /// Takes the option at `at`; how many arguments it has.
    fn take(&mut self, args: Args<'_>, at: usize, form: Form, zset: Option<&ZSet>) -> Result<usize, CommandError> {
        let option = args.get(at);
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        let follows = |count: usize| at + count < args.len();
        let stores = matches!(form, Form::Around | Form::AroundMember);
        if is(b"withdist") {
            self.with_distance = true;
        } else if is(b"withhash") {
            self.with_hash = true;
        } else if is(b"withcoord") {
            self.with_place = true;
        } else if is(b"any") {
            self.any = true;
        } else if is(b"asc") {
            self.order = Order::Nearest;
        } else if is(b"desc") {
            self.order = Order::Farthest;
        } else if is(b"count") && follows(1) {
            let count = parse_i64(args.get(at + 1)).ok_or(CommandError::NotInteger)?;
            self.count = usize::try_from(count)
                .ok()
                .filter(|count| *count > 0)
                .ok_or(CommandError::text("ERR COUNT must be > 0"))?;
            return Ok(2);
        } else if stores && follows(1) && (is(b"store") || is(b"storedist")) {
            self.store_at = Some(at + 1);
            self.store_distance = is(b"storedist");
            return Ok(2);
        } else if form.is_search() {
            return self.take_of_search(args, at, form, zset);
        } else {
            return Err(CommandError::Syntax);
        }
        Ok(1)
    }

    fn take_of_search(
        &mut self,
        args: Args<'_>,
        at: usize,
        form: Form,
        zset: Option<&ZSet>,
    ) -> Result<usize, CommandError> {
        let option = args.get(at);
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        let follows = |count: usize| at + count < args.len();
        let (by_radius, by_box, by_polygon) = (
            matches!(self.extent, Some(Extent::Radius(_))),
            matches!(self.extent, Some(Extent::Box { .. })),
            matches!(self.extent, Some(Extent::Polygon(_))),
        );
        if is(b"frommember") && follows(1) && !self.from_place && !by_polygon {
            if let Some(zset) = zset {
                self.centre = Some(member_of(zset, args.get(at + 1))?);
            }
            self.from_member = true;
            Ok(2)
        } else if is(b"fromlonlat") && follows(2) && !self.from_member && !by_polygon {
            self.centre = Some(point(args.get(at + 1), args.get(at + 2))?);
            self.from_place = true;
            Ok(3)
        } else if is(b"byradius") && follows(2) && !by_box && !by_polygon {
            self.take_radius(args, at + 1)?;
            Ok(3)
        } else if is(b"bybox") && follows(3) && !by_radius && !by_polygon {
            self.take_box(args, at + 1)?;
            Ok(4)
        } else if is(b"bypolygon") && follows(1) && !by_radius && !by_box && !self.from_member && !self.from_place {
            self.take_polygon(args, at + 1)
        } else if is(b"storedist") && form == Form::SearchStore {
            self.store_distance = true;
            Ok(1)
        } else {
            Err(CommandError::Syntax)
        }
    }

    /// `radius unit`
    fn take_radius(&mut self, args: Args<'_>, at: usize) -> Result<(), CommandError> {
        let radius = parse_f64(args.get(at)).ok_or(CommandError::text("ERR need numeric radius"))?;
        if radius < 0.0 {
            return Err(CommandError::text("ERR radius cannot be negative"));
        }
        self.unit = unit(args.get(at + 1))?;
        self.extent = Some(Extent::Radius(radius * self.unit));
        Ok(())
    }

    /// `width height unit`
    fn take_box(&mut self, args: Args<'_>, at: usize) -> Result<(), CommandError> {
        let width = parse_f64(args.get(at)).ok_or(CommandError::text("ERR need numeric width"))?;
        let height = parse_f64(args.get(at + 1)).ok_or(CommandError::text("ERR need numeric height"))?;
        if width < 0.0 || height < 0.0 {
            return Err(CommandError::text("ERR height or width cannot be negative"));
        }
        self.unit = unit(args.get(at + 2))?;
        self.extent = Some(Extent::Box { width: width * self.unit, height: height * self.unit });
        Ok(())
    }

    /// `corners longitude latitude …`
    fn take_polygon(&mut self, args: Args<'_>, at: usize) -> Result<usize, CommandError> {
        let corners = parse_i64(args.get(at)).ok_or(CommandError::text("ERR invalid number of vertices"))?;
        let corners = usize::try_from(corners)
            .ok()
            .filter(|corners| *corners >= 3 && *corners <= (args.len() - at - 1) / 2)
            .ok_or(CommandError::text("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices"))?;
        let corner = |number: usize| point(args.get(at + 1 + 2 * number), args.get(at + 2 + 2 * number));
        self.extent = Some(Extent::Polygon((0..corners).map(corner).collect::<Result<_, _>>()?));
        Ok(2 + 2 * corners)
    }

    fn check(&self, args: Args<'_>, form: Form) -> Result<(), CommandError> {
        let stores = self.store_at.is_some();
        if stores && (self.with_distance || self.with_hash || self.with_place) {
            return Err(CommandError::text(match form {
                Form::SearchStore => {
                    "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
                _ => "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
            }));
        }
        let is_polygon = matches!(self.extent, Some(Extent::Polygon(_)));
        if form.is_search() && !is_polygon && !self.from_member && !self.from_place {
            return Err(CommandError::quoting(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ",
                args.get(0),
                "",
            ));
        }
        if form.is_search() && self.extent.is_none() {
            return Err(CommandError::quoting(
                "ERR exactly one of BYRADIUS and BYBOX can be specified for ",
                args.get(0),
                "",
            ));
        }
        if self.any && self.count == 0 {
            return Err(CommandError::text("ERR the ANY argument requires COUNT argument"));
        }
        debug_assert!(form.is_of_member() || self.extent.is_some());
        Ok(())
    }

    /// What is searched. None: there was no source to take the centre from.
    pub fn shape(&self) -> Option<Shape> {
        Some(match self.extent.clone()? {
            Extent::Radius(radius) => Shape::Circle { centre: self.centre?, radius },
            Extent::Box { width, height } => Shape::Rectangle { centre: self.centre?, width, height },
            Extent::Polygon(corners) => Shape::Polygon { corners },
        })
    }
}

fn member_of(zset: &ZSet, member: &[u8]) -> Result<Point, CommandError> {
    zset.score(member).map(place_of).ok_or(CommandError::text("ERR could not decode requested zset member"))
}
