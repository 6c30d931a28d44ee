"""The places that geolocation records can be for: continents, countries (ISO 3166-1) and the states of the US.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetGeoLocation.html. Which continent a country is on is told
as Route 53 counts it. Subdivisions of Ukraine, which Route 53 has for sanctions, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.route53.paging import page_size
from lab.core.zone import GeoLocation

CONTINENTS = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
PAGE_MAX = 100
_COUNTRIES = {
    "AF": "AO Angola;BF Burkina Faso;BI Burundi;BJ Benin;BW Botswana;CD Congo (Kinshasa);CF Central African Republic;"
    "CG Congo (Brazzaville);CI Côte d'Ivoire;CM Cameroon;CV Cape Verde;DJ Djibouti;DZ Algeria;EG Egypt;ER Eritrea;"
    "ET Ethiopia;GA Gabon;GH Ghana;GM Gambia;GN Guinea;GQ Equatorial Guinea;GW Guinea-Bissau;KE Kenya;KM Comoros;"
    "LR Liberia;LS Lesotho;LY Libya;MA Morocco;MG Madagascar;ML Mali;MR Mauritania;MU Mauritius;MW Malawi;"
    "MZ Mozambique;NA Namibia;NE Niger;NG Nigeria;RE Réunion;RW Rwanda;SC Seychelles;SD Sudan;SH Saint Helena;"
    "SL Sierra Leone;SN Senegal;SO Somalia;SS South Sudan;ST São Tomé and Príncipe;SZ Eswatini;TD Chad;TG Togo;"
    "TN Tunisia;TZ Tanzania;UG Uganda;YT Mayotte;ZA South Africa;ZM Zambia;ZW Zimbabwe",
    "AN": "AQ Antarctica;GS South Georgia and the South Sandwich Islands;TF French Southern Territories",
    "AS": "AE United Arab Emirates;AF Afghanistan;AM Armenia;AZ Azerbaijan;BD Bangladesh;BH Bahrain;BN Brunei;"
    "BT Bhutan;CC Cocos (Keeling) Islands;CN China;GE Georgia;HK Hong Kong;ID Indonesia;IL Israel;IN India;"
    "IO British Indian Ocean Territory;IQ Iraq;IR Iran;JO Jordan;JP Japan;KG Kyrgyzstan;KH Cambodia;KP North Korea;"
    "KR South Korea;KW Kuwait;KZ Kazakhstan;LA Laos;LB Lebanon;LK Sri Lanka;MM Myanmar;MN Mongolia;MO Macao;"
    "MV Maldives;MY Malaysia;NP Nepal;OM Oman;PH Philippines;PK Pakistan;PS Palestine;QA Qatar;SA Saudi Arabia;"
    "SG Singapore;SY Syria;TH Thailand;TJ Tajikistan;TM Turkmenistan;TW Taiwan;UZ Uzbekistan;VN Vietnam;YE Yemen",
    "EU": "AD Andorra;AL Albania;AT Austria;AX Åland Islands;BA Bosnia and Herzegovina;BE Belgium;BG Bulgaria;"
    "BY Belarus;CH Switzerland;CY Cyprus;CZ Czechia;DE Germany;DK Denmark;EE Estonia;ES Spain;FI Finland;"
    "FO Faroe Islands;FR France;GB United Kingdom;GG Guernsey;GI Gibraltar;GR Greece;HR Croatia;HU Hungary;"
    "IE Ireland;IM Isle of Man;IS Iceland;IT Italy;JE Jersey;LI Liechtenstein;LT Lithuania;LU Luxembourg;LV Latvia;"
    "MC Monaco;MD Moldova;ME Montenegro;MK North Macedonia;MT Malta;NL Netherlands;NO Norway;PL Poland;PT Portugal;"
    "RO Romania;RS Serbia;RU Russia;SE Sweden;SI Slovenia;SJ Svalbard and Jan Mayen;SK Slovakia;SM San Marino;"
    "TR Turkey;UA Ukraine;VA Vatican City;XK Kosovo",
    "NA": "AG Antigua and Barbuda;AI Anguilla;AW Aruba;BB Barbados;BL Saint Barthélemy;BM Bermuda;"
    "BQ Bonaire, Sint Eustatius and Saba;BS Bahamas;BZ Belize;CA Canada;CR Costa Rica;CU Cuba;CW Curaçao;DM Dominica;"
    "DO Dominican Republic;GD Grenada;GL Greenland;GP Guadeloupe;GT Guatemala;HN Honduras;HT Haiti;JM Jamaica;"
    "KN Saint Kitts and Nevis;KY Cayman Islands;LC Saint Lucia;MF Saint Martin;MQ Martinique;MS Montserrat;MX Mexico;"
    "NI Nicaragua;PA Panama;PM Saint Pierre and Miquelon;PR Puerto Rico;SV El Salvador;SX Sint Maarten;"
    "TC Turks and Caicos Islands;TT Trinidad and Tobago;US United States;VC Saint Vincent and the Grenadines;"
    "VG British Virgin Islands;VI U.S. Virgin Islands",
    "OC": "AS American Samoa;AU Australia;CK Cook Islands;FJ Fiji;FM Micronesia;GU Guam;KI Kiribati;"
    "MH Marshall Islands;MP Northern Mariana Islands;NC New Caledonia;NF Norfolk Island;NR Nauru;NU Niue;"
    "NZ New Zealand;PF French Polynesia;PG Papua New Guinea;PN Pitcairn;PW Palau;SB Solomon Islands;TK Tokelau;"
    "TL Timor-Leste;TO Tonga;TV Tuvalu;UM U.S. Minor Outlying Islands;VU Vanuatu;WF Wallis and Futuna;WS Samoa",
    "SA": "AR Argentina;BO Bolivia;BR Brazil;CL Chile;CO Colombia;EC Ecuador;FK Falkland Islands;GF French Guiana;"
    "GY Guyana;PE Peru;PY Paraguay;SR Suriname;UY Uruguay;VE Venezuela",
}
_STATES = (
    "AK Alaska;AL Alabama;AR Arkansas;AZ Arizona;CA California;CO Colorado;CT Connecticut;DC District of Columbia;"
    "DE Delaware;FL Florida;GA Georgia;HI Hawaii;IA Iowa;ID Idaho;IL Illinois;IN Indiana;KS Kansas;KY Kentucky;"
    "LA Louisiana;MA Massachusetts;MD Maryland;ME Maine;MI Michigan;MN Minnesota;MO Missouri;MS Mississippi;MT Montana;"
    "NC North Carolina;ND North Dakota;NE Nebraska;NH New Hampshire;NJ New Jersey;NM New Mexico;NV Nevada;NY New York;"
    "OH Ohio;OK Oklahoma;OR Oregon;PA Pennsylvania;RI Rhode Island;SC South Carolina;SD South Dakota;TN Tennessee;"
    "TX Texas;UT Utah;VA Virginia;VT Vermont;WA Washington;WI Wisconsin;WV West Virginia;WY Wyoming"
)


@dataclass(frozen=True)
class Location:
    """One place with the names of what it is and lies in."""

    code: GeoLocation
    continent: str | None = None
    country: str | None = None
    subdivision: str | None = None


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(entry[:2], entry[3:]) for entry in text.split(";")]


def _all_locations() -> dict[GeoLocation, Location]:
    found = [Location(GeoLocation(country_code="*"), None, "Default")]
    for code, name in sorted(pair for text in _COUNTRIES.values() for pair in _pairs(text)):
        found.append(Location(GeoLocation(country_code=code), None, name))
        if code == "US":
            found += [
                Location(GeoLocation(None, code, state), None, name, state_name)
                for state, state_name in _pairs(_STATES)
            ]
    found += [Location(GeoLocation(code), name) for code, name in CONTINENTS.items()]
    return {location.code: location for location in found}


LOCATIONS = _all_locations()
"""Every place in the order that they are listed in: countries, each with its subdivisions, then continents."""


def find_location(code: GeoLocation) -> Location | None:
    """The place with a code, None if Route 53 has none."""
    return LOCATIONS.get(code)


class GeoLocationsPlane:
    """Operations on places."""

    def get_geo_location(self, call: Call) -> dict[str, Any]:
        code = _code(call, "")
        if code == GeoLocation():
            code = GeoLocation(country_code="*")
        found = find_location(code)
        if found is None:
            raise AwsError("NoSuchGeoLocation", "The geographic location is not supported by Amazon Route 53.")
        return {"GeoLocationDetails": _details(found)}

    def list_geo_locations(self, call: Call) -> dict[str, Any]:
        limit, start, places = page_size(call, most=PAGE_MAX), _code(call, "Start"), list(LOCATIONS.values())
        first = 0
        if start != GeoLocation():
            first = next((n for n, place in enumerate(places) if place.code == start), -1)
            if first < 0:
                raise AwsError("InvalidInput", "The start of the listing is no geographic location.")
        left = places[first:]
        following = left[limit].code if len(left) > limit else GeoLocation()
        return {
            "GeoLocationDetailsList": [_details(place) for place in left[:limit]],
            "IsTruncated": len(left) > limit,
            "NextContinentCode": following.continent_code,
            "NextCountryCode": following.country_code,
            "NextSubdivisionCode": following.subdivision_code,
            "MaxItems": str(limit),
        }


def _code(call: Call, prefix: str) -> GeoLocation:
    given = call.parameters
    continent, country = given.get(f"{prefix}ContinentCode"), given.get(f"{prefix}CountryCode")
    subdivision = given.get(f"{prefix}SubdivisionCode")
    if (continent is not None and (country or subdivision)) or (subdivision is not None and country is None):
        raise AwsError("InvalidInput", "Expected a continent, or a country that may have a subdivision.")
    return GeoLocation(continent, country, subdivision)


def _details(place: Location) -> dict[str, Any]:
    return {
        "ContinentCode": place.code.continent_code,
        "ContinentName": place.continent,
        "CountryCode": place.code.country_code,
        "CountryName": place.country,
        "SubdivisionCode": place.code.subdivision_code,
        "SubdivisionName": place.subdivision,
    }
