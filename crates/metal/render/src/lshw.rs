//! What a machine is made of, in lshw's XML, as MAAS's clients read it from `op=details`.

use std::io;

use disks::Disk;
use model::{Machine, Nic};
use quick_xml::{Writer, events::BytesText};

type Xml<'x> = Writer<&'x mut Vec<u8>>;

/// The hardware of a machine as lshw writes it; only what its inventory has.
///
/// # Errors
/// None: it is written to memory.
pub fn lshw(machine: &Machine) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut xml = Writer::new_with_indent(&mut text, b' ', 1);
    xml.create_element("list").write_inner_content(|xml| {
        node(xml, &machine.hostname, "system", |xml| {
            let told = |key: &str| machine.hardware.0.get(key).map_or("", String::as_str);
            field(xml, "product", told("system_product"))?;
            field(xml, "vendor", told("system_vendor"))?;
            field(xml, "version", told("system_version"))?;
            field(xml, "serial", told("system_serial"))?;
            if let Some(uuid) = &machine.hardware_uuid {
                xml.create_element("configuration").write_inner_content(|xml| setting(xml, "uuid", uuid))?;
            }
            node(xml, "core", "bus", |xml| {
                field(xml, "description", "Motherboard")?;
                field(xml, "product", told("mainboard_product"))?;
                field(xml, "vendor", told("mainboard_vendor"))?;
                field(xml, "version", told("mainboard_version"))?;
                field(xml, "serial", told("mainboard_serial"))?;
                node(xml, "firmware", "memory", |xml| {
                    field(xml, "description", "BIOS")?;
                    field(xml, "vendor", told("mainboard_firmware_vendor"))?;
                    field(xml, "version", told("mainboard_firmware_version"))?;
                    field(xml, "date", told("mainboard_firmware_date"))
                })?;
                node(xml, "memory", "memory", |xml| {
                    field(xml, "description", "System Memory")?;
                    measure(xml, "size", "bytes", machine.memory << 20)
                })?;
                for number in 0..machine.cpu_count {
                    node(xml, &format!("cpu:{number}"), "processor", |xml| {
                        field(xml, "product", told("cpu_model"))?;
                        measure(xml, "size", "Hz", u64::from(machine.cpu_speed) * 1_000_000)
                    })?;
                }
                machine.nics.iter().enumerate().try_for_each(|(number, nic)| network(xml, number, nic))?;
                machine
                    .storage
                    .disks
                    .iter()
                    .enumerate()
                    .try_for_each(|(number, disk)| storage(xml, number, disk))
            })
        })
    })?;
    Ok(text)
}

fn network(xml: &mut Xml<'_>, number: usize, nic: &Nic) -> io::Result<()> {
    node(xml, &format!("network:{number}"), "network", |xml| {
        field(xml, "description", "Ethernet interface")?;
        field(xml, "product", &nic.product)?;
        field(xml, "vendor", &nic.vendor)?;
        field(xml, "logicalname", &nic.name)?;
        field(xml, "serial", &nic.mac)?;
        measure(xml, "capacity", "bit/s", u64::from(nic.interface_speed) * 1_000_000)?;
        xml.create_element("configuration")
            .write_inner_content(|xml| setting(xml, "link", if nic.link_connected { "yes" } else { "no" }))
            .map(drop)
    })
}

fn storage(xml: &mut Xml<'_>, number: usize, disk: &Disk) -> io::Result<()> {
    node(xml, &format!("disk:{number}"), "disk", |xml| {
        field(xml, "product", &disk.model)?;
        field(xml, "logicalname", &format!("/dev/{}", disk.name))?;
        field(xml, "version", &disk.firmware)?;
        field(xml, "serial", &disk.serial)?;
        measure(xml, "size", "bytes", disk.size)?;
        xml.create_element("configuration")
            .write_inner_content(|xml| setting(xml, "logicalsectorsize", &disk.block_size.to_string()))
            .map(drop)
    })
}

fn node<'x>(
    xml: &mut Xml<'x>,
    id: &str,
    class: &str,
    inner: impl FnOnce(&mut Xml<'x>) -> io::Result<()>,
) -> io::Result<()> {
    xml.create_element("node")
        .with_attributes([("id", id), ("claimed", "true"), ("class", class)])
        .write_inner_content(inner)
        .map(drop)
}

/// An element with a text, unless that is empty.
fn field(xml: &mut Xml<'_>, name: &str, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    xml.create_element(name).write_text_content(BytesText::new(text)).map(drop)
}

/// A number with its unit, unless it is nought.
fn measure(xml: &mut Xml<'_>, name: &str, units: &str, number: u64) -> io::Result<()> {
    if number == 0 {
        return Ok(());
    }
    let number = number.to_string();
    xml.create_element(name)
        .with_attribute(("units", units))
        .write_text_content(BytesText::new(&number))
        .map(drop)
}

fn setting(xml: &mut Xml<'_>, id: &str, value: &str) -> io::Result<()> {
    xml.create_element("setting").with_attributes([("id", id), ("value", value)]).write_empty().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn names_are_escaped_and_what_is_unknown_is_left_out() {
        let mut machine = Machine::new("m".to_owned(), Timestamp::UNIX_EPOCH);
        machine.hardware.0.insert("system_product".to_owned(), "A <b> & \"c\"".to_owned());
        machine.cpu_count = 2;
        let text = String::from_utf8(lshw(&machine).unwrap()).unwrap();
        assert!(text.contains("<product>A &lt;b&gt; &amp; "), "{text}");
        assert_eq!(text.matches("class=\"processor\"").count(), 2, "{text}");
        assert!(!text.contains("vendor") && !text.contains("disk"), "{text}");
    }
}
