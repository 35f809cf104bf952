//! The geo commands, as redis-server 7.0.15 answers them, and BYPOLYGON as valkey-server 9.1.2 does.

use pinyon_resp::Proto;

use crate::command::trial::Trial;

const SYNTAX: &str = "-ERR syntax error";
const UNIT: &str = "-ERR unsupported unit provided. please use M, KM, FT, MI";

fn sicily() -> Trial {
    let mut t = Trial::new();
    assert_eq!(t.run("geoadd g 13.361389 38.115556 P 15.087269 37.502669 C"), ":2");
    t
}

#[test]
fn places() {
    let mut t = sicily();
    t.expect(&[
        ("geopos g P none", "*2 *2 $20 13.36138933897018433 $20 38.11555639549629859 *-1"),
        ("geohash g P none", "*2 $11 sqc8b49rny0 $-1"),
        ("geohash none P", "*1 $-1"),
        ("geodist g P C", "$11 166274.1516"),
        ("geodist g P C KM", "$8 166.2742"),
        ("geodist g P none", "$-1"),
        ("geodist g P C foo", UNIT),
        ("geodist g P C m foo", SYNTAX),
        ("zscore g P", "$16 3479099956230698"),
        ("geoadd g ch 13.361389 38.115556 P 1 1 X", ":1"),
        ("geoadd g nx xx 1 2 a", SYNTAX),
        ("geoadd g nx 1 2", SYNTAX),
        ("geoadd g 200 2 a", "-ERR invalid longitude,latitude pair 200.000000,2.000000"),
        ("geoadd g a 2 a", "-ERR value is not a valid float"),
    ]);
    t.proto = Proto::Resp3;
    t.expect(&[("geopos g P", "*1 *2 ,13.36138933897018433 ,38.11555639549629859")]);
}

#[test]
fn searches() {
    let mut t = sicily();
    t.expect(&[
        ("geosearch g fromlonlat 15 37 byradius 200 km asc", "*2 $1 C $1 P"),
        ("geosearch g fromlonlat 15 37 bybox 400 400 km desc withdist", "*2 *2 $1 P $8 190.4424 *2 $1 C $7 56.4413"),
        ("geosearch g frommember P byradius 1 km withhash", "*1 *2 $1 P :3479099956230698"),
        ("geosearch g fromlonlat 15 37 byradius 200 km count 1", "*1 $1 C"),
        ("geosearch g frommember none byradius 1 km", "-ERR could not decode requested zset member"),
        ("geosearch none frommember x byradius 1 km", "*0"),
        ("geosearch none frommember x byradius 1 km any", "-ERR the ANY argument requires COUNT argument"),
        (
            "geosearch g byradius 1 km asc asc",
            "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch",
        ),
        (
            "GEOSEARCH g frommember P asc asc asc",
            "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH",
        ),
        ("geosearch g frommember P byradius -1 km", "-ERR radius cannot be negative"),
        ("geosearch g frommember P byradius x km", "-ERR need numeric radius"),
        ("geosearch g frommember P byradius 1 x", UNIT),
        ("geosearch g frommember P bybox 1 -1 km", "-ERR height or width cannot be negative"),
        ("geosearch g frommember P byradius 1 km count 0", "-ERR COUNT must be > 0"),
        ("georadius g 15 37 200 km asc", "*2 $1 C $1 P"),
        ("georadius_ro g 15 37 200 km store d", SYNTAX),
        ("georadiusbymember g C 200 km desc", "*2 $1 P $1 C"),
        ("georadiusbymember_ro g C 1 m", "*1 $1 C"),
        ("georadiusbymember none x -200 xx", "*0"),
        ("georadius none 15 37 -200 km", "-ERR radius cannot be negative"),
    ]);
}

#[test]
fn stored() {
    let mut t = sicily();
    t.expect(&[
        ("geosearchstore d g fromlonlat 15 37 byradius 100 km", ":1"),
        ("zrange d 0 -1", "*1 $1 C"),
        ("geosearchstore d g frommember C byradius 1 km storedist", ":1"),
        ("zscore d C", "$1 0"),
        (
            "geosearchstore d g frommember P byradius 1 km withdist",
            "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        (
            "georadius g 15 37 200 km store d withdist",
            "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        ("georadius g 15 37 200 km store d", ":2"),
        ("zcard d", ":2"),
        // Of several the last one counts.
        ("georadius g 15 37 200 km store x storedist y", ":2"),
        ("exists x y", ":1"),
        ("georadius none 15 37 200 km store d", ":0"),
        ("exists d", ":0"),
        ("georadius g 15 37 200 km store", SYNTAX),
    ]);
}

#[test]
fn polygons() {
    const FEW: &str = "-ERR GEOSEARCH BYPOLYGON must have at least 3 vertices";
    let mut t = sicily();
    t.run("geoadd g 17.241510 38.788135 e1 17.24 38.788135 e2");
    t.expect(&[
        (
            "geosearch g bypolygon 4 12 36 12 40 18 40 18 36 asc withdist",
            "*4 *2 $1 C $10 60049.2798 *2 $1 P $11 143725.9101 *2 $2 e2 $11 212287.6619 *2 $2 e1 $11 212408.8908",
        ),
        ("geosearch g bypolygon 4 12 36 12 40 18 40 18 36 frommember P", SYNTAX),
        ("geosearch g fromlonlat 15 37 bypolygon 4 12 36 12 40 18 40 18 36", SYNTAX),
        ("geosearch g bypolygon 4 12 36 12 40 18 40 18 36 byradius 3 km", SYNTAX),
        ("geosearch g bypolygon 2 12 36 12 40", FEW),
        ("geosearch g bypolygon 3 12 36 12 40 12", FEW),
        ("geosearch g bypolygon abc 12 36 12 40", "-ERR invalid number of vertices"),
        ("geosearch none bypolygon 4 12 36 12 40 18 40 18 36", "*0"),
        ("geosearchstore d g bypolygon 4 12 36 12 40 18 40 18 36", ":4"),
    ]);
}

/// Scores that no place has are taken as Redis takes them.
#[test]
fn any_score_is_a_place() {
    let mut t = Trial::new();
    t.run("zadd z -1 a inf b 1e19 c -inf d 0.5 e");
    assert!(t.run("geopos z a b c d e").starts_with("*5 *2 "));
}

/// Distances whose fifth decimal is a 5 as far as a double can tell: redis-server 7.0.15 rounds those to the even last digit, by the
/// double nearest to ten thousand times the distance.
#[test]
fn halves_of_the_last_digit_go_to_the_even_one() {
    const RECORDED: &[(&str, &str, &str, &str)] = &[
        ("-82.462 -57.673", "-148.614 47.41", "ft", "43210014.6598"),
        ("51.096 73.566", "105.918 -79.915", "ft", "57042717.3212"),
        ("-117.043 65.78", "19.539 4.713", "m", "11437293.0108"),
        ("90.852 -72.924", "15.059 -4.637", "ft", "29713137.1364"),
        ("-37.594 30.107", "136.125 -35.708", "ft", "62879011.5478"),
        ("-90.242 17.892", "79.405 14.717", "ft", "53215947.8072"),
        ("110.192 67.346", "5.635 21.086", "m", "8454752.2400"),
        ("-11.029 35.873", "-161.079 7.723", "ft", "46744554.6818"),
        ("15.522 51.813", "49.768 -78.992", "ft", "48304942.2292"),
        ("-9.971 -59.741", "-13.629 -22.154", "ft", "13748645.3756"),
        ("42.531 32.785", "-158.436 -35.682", "ft", "59284165.3028"),
        ("-53.347 67.235", "-35.355 -66.946", "ft", "49181884.1928"),
        ("121.902 19.419", "-26.38 -68.792", "ft", "46301416.1262"),
        ("124.568 -39.38", "123.518 80.631", "ft", "43794405.8226"),
    ];
    for (one, other, unit, distance) in RECORDED {
        let mut t = Trial::new();
        t.run(&format!("geoadd g {one} a {other} b"));
        let reply = format!("${} {distance}", distance.len());
        assert_eq!(t.run(&format!("geodist g a b {unit}")), reply);
        let found = t.run(&format!("geosearch g frommember a byradius 1e20 {unit} withdist desc count 1"));
        assert_eq!(found, format!("*1 *2 $1 b {reply}"));
    }
}
