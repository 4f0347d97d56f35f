"""Walks through a region with python-libmaas: what its users do, in the order they do it.

Arguments: the region's URL (`http://HOST:PORT/MAAS/`), an administrator's API key, the MAC address of a machine that
is Ready, and the name of an image. Prints each step that held, and ends with 1 at the first that did not.
"""

import asyncio
import hashlib
import io
import sys

from maas.client import bones, connect, login
from maas.client.enum import BlockDeviceType, IPRangeType, NodeStatus, PowerState
from maas.client.viscera.machines import MachineNotFound

URL, KEY, MAC, IMAGE = sys.argv[1:5]

# Handlers that libmaas's classes are bound to.
OBJECTS = {
    "Account", "BcacheCacheSets", "Bcaches", "BlockDevice", "BlockDevices", "BootResource", "BootResources",
    "BootSource", "BootSourceSelection", "BootSourceSelections", "BootSources", "Device", "Devices", "Domain",
    "Domains", "Events", "Fabric", "Fabrics", "File", "Files", "IPRange", "IPRanges", "Interface", "Interfaces",
    "MAAS", "Machine", "Machines", "Node", "Nodes", "Partitions", "Pods", "RackController", "RackControllers",
    "Raids", "RegionController", "RegionControllers", "ResourcePool", "ResourcePools", "SSHKey", "SSHKeys", "Space",
    "Spaces", "StaticRoute", "StaticRoutes", "Subnet", "Subnets", "Tag", "Tags", "User", "Users", "Version", "Vlan",
    "Vlans", "VolumeGroups", "Zone", "Zones",
}


def held(step, condition, seen=None):
    if not condition:
        sys.exit(f"{step}: did not hold: {seen!r}")
    print(step, flush=True)


async def refused(step, status, call, words=""):
    try:
        answer = await call
    except bones.CallError as error:
        text = error.content.decode()
        held(step, error.status == status and words in text, (error.status, text))
    else:
        sys.exit(f"{step}: was not refused: {answer!r}")


async def people(admin):
    who = await admin.users.whoami()
    held("whoami", (who.username, who.is_admin) == ("admin", True), who)
    await admin.users.create("alice", "wonderland", email="alice@example.com")
    names = {user.username for user in await admin.users.list()}
    held("users", {"admin", "alice"} <= names, names)
    alice = await login(URL, username="alice", password="wonderland")
    who = await alice.users.whoami()
    held("login with name and password", (who.username, who.is_admin) == ("alice", False), who)
    try:
        await login(URL, username="alice", password="looking glass")
    except bones.helpers.RemoteError as error:
        held("a wrong password is refused", "403" in str(error), error)
    else:
        sys.exit("a wrong password was taken")
    token = await alice.account.create_credentials()
    again = await connect(URL, apikey=str(token))
    held("a key of one's own", (await again.users.whoami()).username == "alice")
    await alice.account.delete_credentials(token)
    await refused("a deleted key is refused", 401, again.users.whoami())
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE3MOONRXyMuRzEmuvN5BYjWCmZYhGGMrPZn0Gp2aJEd alice@x"
    made = await alice.ssh_keys.create(key)
    held("ssh keys", [one.key for one in await alice.ssh_keys.list()] == [key], made)
    await refused("the same key again", 400, alice.ssh_keys.create(key), "already been added")
    await refused("not for users", 403, alice.zones.create(name="z", description=""), "admin")
    return alice


async def groups(admin):
    zone = await admin.zones.create(name="zone-a", description="first")
    zone.description = "second"
    await zone.save()
    held("zones", (await admin.zones.get("zone-a")).description == "second")
    await refused("a zone of the same name", 400, admin.zones.create(name="zone-a", description=""), "already exists")
    pool = await admin.resource_pools.create(name="pool-a", description="")
    held("pools", "pool-a" in {one.name for one in await admin.resource_pools.list()}, pool)
    tag = await admin.tags.create("tag-a", comment="for tests")
    held("tags", (await admin.tags.get("tag-a")).comment == "for tests", tag)
    await zone.delete()
    await pool.delete()
    await tag.delete()


async def networks(admin):
    fabric = await admin.fabrics.create(name="fabric-a")
    held("fabrics", (await admin.fabrics.get(fabric.id)).name == "fabric-a")
    default = (await admin.fabrics.get(fabric.id)).vlans.get_default()
    vlan = await fabric.vlans.create(vid=42, name="vlan-a")
    vlan.mtu = 9000
    await vlan.save()
    held("vlans", vlan.mtu == 9000 and default.vid == 0, vlan)
    space = await admin.spaces.create(name="space-a")
    subnet = await admin.subnets.create("10.77.0.0/24", vlan, name="subnet-a", gateway_ip="10.77.0.1")
    subnet.name = "subnet-b"
    await subnet.save()
    held("subnets", (await admin.subnets.get(subnet.id)).gateway_ip == "10.77.0.1", subnet)
    ips = await admin.ip_ranges.create("10.77.0.10", "10.77.0.20", type=IPRangeType.RESERVED, comment="ours")
    held("ip ranges", ips.id in {one.id for one in await admin.ip_ranges.list()}, ips)
    domain = await admin.domains.create("a.example", authoritative=True)
    held("domains", "a.example" in {one.name for one in await admin.domains.list()}, domain)
    for one in (ips, subnet, vlan, fabric, space, domain):
        await one.delete()
    await refused("what is gone is not found", 404, admin.subnets.get(subnet.id), "No Subnet matches")


async def files_and_sources(admin):
    held("files", await admin.files.list() is not None)
    source = await admin.boot_sources.create("http://images.example/a", keyring_filename="/keys")
    held("boot sources", (await admin.boot_sources.get(source.id)).keyring_filename == "/keys")
    await source.delete()
    await admin.maas.set_kernel_options("quiet")
    held("a setting", await admin.maas.get_kernel_options() == "quiet")
    await admin.maas.set_upstream_dns(["10.0.0.53", "10.0.0.54"])
    held("a setting that is a list", await admin.maas.get_upstream_dns() == ["10.0.0.53", "10.0.0.54"])
    await refused("a bad setting", 400, admin.maas.set_upstream_dns(["nosuch"]), "Invalid IP address")
    archive = await admin.maas.get_main_archive()
    held("the main archive", archive.startswith("http://"), archive)


async def images(admin):
    content = hashlib.sha256(b"an image").digest() * 40_000
    progress = []
    uploaded = await admin.boot_resources.create(
        "custom/walked",
        "amd64/generic",
        io.BytesIO(content),
        title="Walked",
        filetype=DDRAW,
        chunk_size=1 << 19,
        progress_callback=progress.append,
    )
    # Inside of a loop, the client leaves its last step to its caller.
    resource = await uploaded
    held("an image in pieces", len(progress) == 3 and progress[-1] == 1.0, progress)
    newest = resource.sets[max(resource.sets)]
    held("the image is complete", newest.complete and newest.size == len(content), newest)
    held("images", resource.id in {one.id for one in await admin.boot_resources.list()})
    await resource.delete()


class DDRAW:
    """A type of file that libmaas's own enumeration does not name."""

    value = "ddraw"


async def devices(admin, alice):
    device = await alice.devices.create(["52:54:00:77:00:01"], hostname="printer")
    held("devices", (await admin.devices.get(device.system_id)).fqdn == "printer.maas", device)
    await refused(
        "a MAC address once", 400, admin.devices.create(["52:54:00:77:00:01"]), "already in use on printer"
    )
    await device.delete()
    held("no device is left", len(await admin.devices.list()) == 0)


async def a_new_machine(admin):
    machine = await admin.machines.create(
        "amd64", ["52:54:00:88:00:01"], "webhook",
        {"power_on_uri": "http://127.0.0.1:9/on", "power_off_uri": "http://127.0.0.1:9/off",
         "power_query_uri": "http://127.0.0.1:9/query"},
        hostname="by-hand",
    )
    held("a machine by hand", machine.hostname == "by-hand", machine)
    parameters = await machine.get_power_parameters()
    held("its power parameters", parameters["power_on_uri"].endswith("/on"), parameters)
    many = await admin.machines.get_power_parameters_for([machine.system_id])
    held("those of many", list(many) == [machine.system_id], many)
    await refused(
        "the same MAC address again", 400,
        admin.machines.create("amd64", ["52:54:00:88:00:01"], "manual"), "already in use",
    )
    await machine.delete()
    await refused("a machine that is gone", 404, admin.machines.get(machine.system_id), "No Machine matches")


async def the_life_of_a_machine(admin, alice):
    machine = next(one for one in await admin.machines.list() if MAC in [nic.mac_address for nic in one.interfaces])
    held("the machine is Ready", machine.status == NodeStatus.READY, machine.status)
    held("its disks", machine.boot_disk.type == BlockDeviceType.PHYSICAL and machine.boot_disk.size > 0)
    details = await machine.get_details()
    held("its details", details["lldp"] is None and b"<list>" in details["lshw"], details)
    held("its power", await machine.query_power_state() == PowerState.OFF)
    await machine.commission(wait=True, wait_interval=0.1)
    held("commissioned again", machine.status == NodeStatus.READY, machine.status)
    while await machine.query_power_state() != PowerState.OFF:
        await asyncio.sleep(0.1)

    try:
        await alice.machines.allocate(hostname="nosuch")
    except MachineNotFound:
        held("no machine matches", True)
    taken = await alice.machines.allocate(hostname=machine.hostname, agent_name="libmaas")
    held("allocated", (taken.status, taken.system_id) == (NodeStatus.ALLOCATED, machine.system_id), taken)
    taken.owner_data["who"] = "alice"
    await taken.save()
    held("owner data", (await alice.machines.get(taken.system_id)).owner_data == {"who": "alice"})
    await taken.deploy(distro_series=IMAGE, user_data=b"#cloud-config\n", wait=True, wait_interval=0.1)
    held("deployed", (taken.status, taken.osystem) == (NodeStatus.DEPLOYED, IMAGE.split("/")[0]), taken.status)
    held("its address", len(taken.ip_addresses or []) <= 1)
    await taken.lock()
    await refused("a locked machine is kept", 403, taken.release(), "locked")
    await taken.unlock()
    await taken.power_off()
    held("switched off", await taken.query_power_state() == PowerState.OFF)
    await taken.power_on()
    held("switched on", await taken.query_power_state() == PowerState.ON)
    await taken.release(erase=True, quick_erase=True, wait=True, wait_interval=0.1)
    held("released", taken.status == NodeStatus.READY, taken.status)
    await machine.mark_broken(comment="smoke")
    held("broken", (await admin.machines.get(machine.system_id)).status == NodeStatus.BROKEN)
    await machine.mark_fixed()
    held("fixed", (await admin.machines.get(machine.system_id)).status == NodeStatus.READY)

    page = await admin.events.query(hostnames=[machine.hostname], limit=5)
    told = []
    while len(page) > 0 and len(told) < 20:
        told.extend(event.event_id for event in page)
        # As with images: the client's own iterators do not wait twice.
        page = await page.prev()
        page = await page if asyncio.iscoroutine(page) else page
    held("events, page by page", len(told) > 5 and told == sorted(set(told), reverse=True), told)


async def walk():
    admin = await connect(URL, apikey=KEY)
    version = await admin.version.get()
    held("the version", version.version.startswith("3.7"), version)
    _, session = await bones.SessionAPI.connect(URL, apikey=KEY)
    missing = OBJECTS - {name for name, _ in session.handlers}
    held("the description has every object", not missing, missing)
    alice = await people(admin)
    await groups(admin)
    await networks(admin)
    await files_and_sources(admin)
    await images(admin)
    await devices(admin, alice)
    await a_new_machine(admin)
    held("controllers", len(await admin.rack_controllers.list()) == 1 and len(await admin.region_controllers.list()) == 1)
    held("no pods", len(await admin.pods.list()) == 0)
    held("no static routes", len(await admin.static_routes.list()) == 0)
    await the_life_of_a_machine(admin, alice)


asyncio.run(walk())
