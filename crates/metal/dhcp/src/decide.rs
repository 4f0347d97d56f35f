//! What to do about a message, decided without doing it (RFC 2131, section 4.3).

use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};

use crate::{
    config::{Config, Directory, Host, Subnet},
    lease::{Lease, LeaseState, Leases, NoAddress},
    mac::Mac,
    message::{Message, MessageType, Op},
    options::code,
};

/// How long an offered address waits for its machine.
pub const OFFER_HOLD: SignedDuration = SignedDuration::from_secs(30);
/// How long a declined address is put aside.
pub const DECLINE_HOLD: SignedDuration = SignedDuration::from_mins(10);

/// What to do about one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Ignore(Ignored),
    /// Offer this address.
    Offer(Lease),
    /// Grant this lease, once it is durable.
    Ack(Lease),
    /// Send the client back to the start.
    Nak(Refusal),
    /// The machine gave this address back.
    Release(Lease),
    /// The machine found this address in use; it is put aside.
    Decline(Lease),
    /// Send the options alone.
    Inform,
}

impl Decision {
    /// The lease that changes.
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Offer(lease) | Self::Ack(lease) | Self::Release(lease) | Self::Decline(lease) => {
                Some(lease)
            }
            Self::Ignore(_) | Self::Nak(_) | Self::Inform => None,
        }
    }
}

/// Why a message gets no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// From a server, or without a message type.
    #[error("not a DHCP message of a client")]
    NotForServers,
    /// It came through a relay of no subnet that this server knows.
    #[error("relayed from {giaddr}, which is in no subnet served here: add the subnet, or correct the relay")]
    UnknownSubnet {
        /// The relay.
        giaddr: Ipv4Addr,
    },
    /// The client took the offer of another server.
    #[error(
        "the client takes the offer of another DHCP server, {server}: there should be one on this network"
    )]
    OtherServer {
        /// That server.
        server: Ipv4Addr,
    },
    /// The client asks to keep an address of which nothing is known here.
    #[error("the client asks for {ip}, which was not given out here")]
    UnknownAddress {
        /// The address.
        ip: Ipv4Addr,
    },
    /// Release or decline of an address that is not the client's.
    #[error("{ip} is not this client's to give back")]
    NotHeld {
        /// The address.
        ip: Ipv4Addr,
    },
    /// The machine's fixed address is with another machine for the time being.
    #[error("the fixed address {ip} is leased by {by} until {until}")]
    FixedAddressLeased {
        /// The address.
        ip: Ipv4Addr,
        /// Who has it.
        by: Mac,
        /// When it becomes free.
        until: Timestamp,
    },
    /// The machine found its fixed address in use on the wire.
    #[error(
        "the fixed address {ip} is in use by a host that this server does not know: find it and switch it off"
    )]
    FixedAddressInUse {
        /// The address.
        ip: Ipv4Addr,
    },
    /// There is no address to give.
    #[error(transparent)]
    NoAddress(#[from] NoAddress),
    /// A request that names no address.
    #[error("the request names no address")]
    NoAddressNamed,
}

/// Why a client must start again; sent along as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address belongs to another network.
    #[error("{0} is not on this subnet")]
    WrongSubnet(Ipv4Addr),
    /// Somebody else has the address.
    #[error("{0} is taken")]
    Taken(Ipv4Addr),
    /// The machine has another address now.
    #[error("{wanted} is not this machine's address, {has} is")]
    Moved {
        /// What it asked for.
        wanted: Ipv4Addr,
        /// What it has.
        has: Ipv4Addr,
    },
    /// Not in the dynamic range and not fixed for this machine.
    #[error("{0} is not given out here")]
    NotServed(Ipv4Addr),
}

/// Decides about one message. The caller then applies the decision to the leases.
pub fn decide(
    message: &Message,
    config: &Config,
    hosts: &impl Directory,
    leases: &Leases,
    now: Timestamp,
) -> Decision {
    let (Op::Request, Some(kind)) = (message.op, message.kind()) else {
        return Decision::Ignore(Ignored::NotForServers);
    };
    let Some(subnet) = config.subnet_of(message) else {
        return Decision::Ignore(Ignored::UnknownSubnet { giaddr: message.giaddr });
    };
    let host = hosts.host(message.mac, subnet.cidr).unwrap_or_default();
    let fixed = host.ip.filter(|ip| subnet.cidr.contains(ip));
    let case = Case { message, config, subnet, hosts, leases, now, host, fixed };
    match kind {
        MessageType::Discover => case.discover(),
        MessageType::Request => case.request(),
        MessageType::Release => case.give_back(message.ciaddr, LeaseState::Released, SignedDuration::ZERO),
        MessageType::Decline => case.decline(),
        MessageType::Inform => Decision::Inform,
        MessageType::Offer | MessageType::Ack | MessageType::Nak => Decision::Ignore(Ignored::NotForServers),
    }
}

struct Case<'a, D> {
    message: &'a Message,
    config: &'a Config,
    subnet: &'a Subnet,
    hosts: &'a D,
    leases: &'a Leases,
    now: Timestamp,
    host: Host,
    fixed: Option<Ipv4Addr>,
}

impl<D: Directory> Case<'_, D> {
    fn discover(&self) -> Decision {
        let mac = self.message.mac;
        let chosen = match (self.fixed, self.subnet.range) {
            (Some(ip), _) => {
                match self.leases.get(ip).filter(|held| held.mac != mac && held.is_live(self.now)) {
                    Some(held) => {
                        let (by, until) = (held.mac, held.until);
                        return Decision::Ignore(Ignored::FixedAddressLeased { ip, by, until });
                    }
                    None => Ok(ip),
                }
            }
            (None, None) => Err(NoAddress::NoRange),
            (None, Some(range)) => {
                let wanted = self.message.address(code::REQUESTED_ADDRESS);
                self.leases.choose(mac, wanted, range, self.now, |ip| self.is_barred(ip))
            }
        };
        match chosen {
            Ok(ip) => Decision::Offer(self.lease(ip, LeaseState::Offered, OFFER_HOLD)),
            Err(none) => Decision::Ignore(none.into()),
        }
    }

    fn request(&self) -> Decision {
        let requested = self.message.address(code::REQUESTED_ADDRESS);
        let server = self.message.address(code::SERVER_ID);
        match (server, requested, self.message.ciaddr) {
            (Some(server), ..) if server != self.subnet.server => {
                Decision::Ignore(Ignored::OtherServer { server })
            }
            (Some(_), Some(ip), _) => self.confirm(ip),
            (None, Some(ip), Ipv4Addr::UNSPECIFIED) => self.reboot(ip),
            (_, None, Ipv4Addr::UNSPECIFIED) => Decision::Ignore(Ignored::NoAddressNamed),
            (_, _, ip) => self.renew(ip),
        }
    }

    /// The client took our offer.
    fn confirm(&self, ip: Ipv4Addr) -> Decision {
        match self.fixed {
            Some(has) if has != ip => Decision::Nak(Refusal::Moved { wanted: ip, has }),
            _ => self.grant(ip),
        }
    }

    /// The client remembers an address from before its reboot (INIT-REBOOT).
    fn reboot(&self, ip: Ipv4Addr) -> Decision {
        let known = self.leases.of(self.message.mac).any(|lease| lease.ip == ip);
        match (self.fixed, self.may_have(ip)) {
            (_, Err(why @ (Refusal::WrongSubnet(_) | Refusal::Taken(_)))) => Decision::Nak(why),
            (Some(has), _) if has != ip => Decision::Nak(Refusal::Moved { wanted: ip, has }),
            (None, Err(why)) if known => Decision::Nak(why),
            (None, _) if !known => Decision::Ignore(Ignored::UnknownAddress { ip }),
            _ => self.grant(ip),
        }
    }

    /// The client extends what it has. A machine that was given a fixed address meanwhile keeps the dynamic one
    /// until it next boots: moving it under a running system would break its connections.
    fn renew(&self, ip: Ipv4Addr) -> Decision {
        self.grant(ip)
    }

    fn grant(&self, ip: Ipv4Addr) -> Decision {
        match self.may_have(ip) {
            Ok(()) => Decision::Ack(self.lease(ip, LeaseState::Bound, self.config.lease_time(self.message))),
            Err(why) => Decision::Nak(why),
        }
    }

    fn may_have(&self, ip: Ipv4Addr) -> Result<(), Refusal> {
        if !self.subnet.cidr.contains(&ip) {
            return Err(Refusal::WrongSubnet(ip));
        }
        if self.fixed == Some(ip) {
            let taken = self.leases.get(ip).is_some_and(|l| l.mac != self.message.mac && l.is_live(self.now));
            return if taken { Err(Refusal::Taken(ip)) } else { Ok(()) };
        }
        if !self.leases.is_free(ip, self.message.mac, self.now) || self.is_barred(ip) {
            return Err(Refusal::Taken(ip));
        }
        let served = self.subnet.range.is_some_and(|range| range.contains(ip));
        if served { Ok(()) } else { Err(Refusal::NotServed(ip)) }
    }

    fn decline(&self) -> Decision {
        let ip = self.message.address(code::REQUESTED_ADDRESS).unwrap_or(self.message.ciaddr);
        if self.fixed == Some(ip) {
            return Decision::Ignore(Ignored::FixedAddressInUse { ip });
        }
        match self.give_back(ip, LeaseState::Declined, DECLINE_HOLD) {
            Decision::Release(lease) => Decision::Decline(lease),
            other => other,
        }
    }

    fn give_back(&self, ip: Ipv4Addr, state: LeaseState, hold: SignedDuration) -> Decision {
        match self.leases.get(ip) {
            Some(lease) if lease.mac == self.message.mac && lease.is_live(self.now) => {
                Decision::Release(self.lease(ip, state, hold))
            }
            _ => Decision::Ignore(Ignored::NotHeld { ip }),
        }
    }

    fn is_barred(&self, ip: Ipv4Addr) -> bool {
        self.subnet.is_own(ip) || self.hosts.is_barred(ip, self.message.mac)
    }

    fn lease(&self, ip: Ipv4Addr, state: LeaseState, hold: SignedDuration) -> Lease {
        Lease {
            ip,
            mac: self.message.mac,
            hostname: self.host.hostname.clone().or_else(|| self.message.host_name()),
            state,
            since: self.now,
            until: self.now.checked_add(hold).unwrap_or(Timestamp::MAX),
        }
    }
}
