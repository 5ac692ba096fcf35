//! The spill file.

use thermowell_wire::spill::{HEADER_MAX, Header, Place, decode, encode_header, encode_record};

use super::bytes;

#[test]
fn header_and_record() {
    let header = Header { gateway: "cellar", boiler: "b1", stream: "SAMPLES" };
    let mut out = [0; HEADER_MAX];
    let begin = encode_header(&header, &mut out);
    let end = begin + encode_record(&[1, 2, 3], &mut out[begin..]);
    let fields = [
        ("magic", "54 57 53 50 49 4c 4c"),
        ("version", "01"),
        ("gateway", "06 63 65 6c 6c 61 72"),
        ("boiler", "02 62 31"),
        ("stream", "07 53 41 4d 50 4c 45 53"),
        ("crc", "5a a9 e5 eb"),
        ("mark", "72 63 64"),
        ("length", "03 00"),
        ("message", "01 02 03"),
        ("crc", "a5 97 15 9c"),
    ];
    super::assert_fields(&out[..end], &fields);
    let golden: Vec<u8> = fields.iter().flat_map(|(_, hex)| bytes(hex)).collect();
    let (read, places) = decode(&golden).expect("a spill file");
    assert_eq!(read, header);
    assert_eq!(places.collect::<Vec<_>>(), [Place::Message(&[1, 2, 3])]);
}
