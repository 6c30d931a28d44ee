"""Values of every record type: their wire form as dnslib reads it, and what is wrong with a wrong one."""

from __future__ import annotations

import dnslib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.route53.rdata import TYPE_NUMBERS, Rdata, RecordValueError, character_strings, parse_value


def wire(rdata: Rdata) -> bytes:
    return rdata.before + b"".join(rdata.names) + rdata.after


@pytest.mark.parametrize(
    ("type", "text", "shown"),
    [
        ("A", "192.0.2.1", "192.0.2.1"),
        ("AAAA", "2001:db8::1", "2001:db8::1"),
        ("CNAME", "www.lab.test", "www.lab.test."),
        ("NS", "ns1.lab.test.", "ns1.lab.test."),
        ("PTR", "host.lab.test.", "host.lab.test."),
        ("MX", "10 mail.lab.test.", "10 mail.lab.test."),
        ("SRV", "1 10 5269 xmpp.lab.test.", "1 10 5269 xmpp.lab.test."),
        ("TXT", '"one" "two words"', '"one" "two words"'),
        ("CAA", '0 issue "ca.example.net"', '0 issue "ca.example.net"'),
        ("NAPTR", '100 50 "u" "E2U+sip" "!^.*$!sip:a@b.c!" .', '100 50 "u" "E2U+sip" "!^.*$!sip:a@b.c!" .'),
        ("DS", "2371 13 2 " + "AB" * 32, "2371 13 2 " + "AB" * 32),
        ("HTTPS", "1 . alpn=h3,h2 port=443", "1 . alpn=h3,h2 port=443"),
        ("HTTPS", "0 pool.lab.test.", "0 pool.lab.test."),
        ("SSHFP", "4 2 " + "ab" * 32, "4 2 " + "AB" * 32),
        ("TLSA", "3 1 1 " + "cd" * 32, "3 1 1 " + "CD" * 32),
        ("SOA", "ns. host.lab.test. 1 7200 900 1209600 86400", "ns. host.lab.test. 1 7200 900 1209600 86400"),
    ],
)
def test_a_value_on_the_wire_is_what_dnslib_reads(type: str, text: str, shown: str) -> None:
    data = wire(parse_value(type, text))
    parsed = dnslib.RDMAP.get(type, dnslib.RD).parse(dnslib.DNSBuffer(data), len(data))
    assert parsed.toZone().upper().replace("\\\\", "\\") == shown.upper()


def test_quotes_backslashes_and_octal_escapes_in_strings() -> None:
    assert character_strings(r'"say \"hi\"" "\101\\"  bare') == [b'say "hi"', b"A\\", b"bare"]


@settings(deadline=None)
@given(st.sampled_from(sorted(TYPE_NUMBERS)), st.text(max_size=40) | st.from_regex(r"[0-9a-z .=\"\\]{0,40}"))
def test_any_text_is_a_value_or_refused(type: str, text: str) -> None:
    try:
        assert isinstance(parse_value(type, text), Rdata)
    except RecordValueError as error:
        assert str(error)


def test_spf_is_like_txt_and_svcb_like_https() -> None:
    assert parse_value("SPF", '"v=spf1 -all"') == parse_value("TXT", '"v=spf1 -all"')
    assert parse_value("SVCB", "1 a.b. ipv4hint=192.0.2.1") == parse_value("HTTPS", "1 a.b. ipv4hint=192.0.2.1")


def test_service_parameters_are_sorted_by_key_whatever_their_order() -> None:
    assert parse_value("HTTPS", "1 . port=8443 alpn=h2") == parse_value("HTTPS", '1 . alpn="h2" port=8443')
    assert parse_value("HTTPS", "1 . key7=x ech=AAAA mandatory=alpn no-default-alpn alpn=h2").before


@pytest.mark.parametrize(
    ("type", "text"),
    [
        ("A", "192.0.2.256"),
        ("A", "2001:db8::1"),
        ("A", ""),
        ("AAAA", "192.0.2.1"),
        ("AAAA", "fe80::1%eth0"),
        ("CNAME", "two names"),
        ("CNAME", "a..b"),
        ("MX", "mail.lab.test."),
        ("MX", "70000 mail.lab.test."),
        ("SRV", "1 2 three x."),
        ("TXT", '"open'),
        ("TXT", ""),
        ("TXT", '"' + "x" * 256 + '"'),
        ("TXT", '"ends with \\'),
        ("CAA", "issue ca.example.net"),
        ("CAA", '256 issue "x"'),
        ("NAPTR", '1 2 "u"'),
        ("DS", "1 2 3 xyz"),
        ("HTTPS", "1"),
        ("HTTPS", "1 . port=http"),
        ("HTTPS", "1 . alpn=h2 alpn=h3"),
        ("HTTPS", "1 . mandatory=port"),
        ("HTTPS", "1 . ipv4hint=2001:db8::1"),
        ("HTTPS", "1 . unknown=1"),
        ("HTTPS", "1 . ech=!!"),
        ("SOA", "a. b. 1 2 3"),
        ("SSHFP", "1 1"),
        ("TLSA", "3 1 1 zz"),
        ("NOPE", "x"),
    ],
)
def test_a_wrong_value_is_refused_with_a_reason(type: str, text: str) -> None:
    with pytest.raises(RecordValueError) as caught:
        parse_value(type, text)
    assert str(caught.value)


def test_every_type_of_route_53_has_its_number() -> None:
    types = "A AAAA CAA CNAME DS HTTPS MX NAPTR NS PTR SOA SPF SRV SSHFP SVCB TLSA TXT"
    assert set(types.split()) <= set(TYPE_NUMBERS)
