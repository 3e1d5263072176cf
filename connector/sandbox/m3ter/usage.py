"""m3ter's usage: measurements as they come in, and the accounts they bring into being."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.catalogue import Catalogue
from connector.sandbox.m3ter.checks import iso, number, parse, read
from connector.sandbox.m3ter.errors import Refused, bad_request
from connector.sandbox.m3ter.organization import exact
from connector.sandbox.m3ter.rating import Reading
from connector.sandbox.m3ter.shapes import MEASUREMENT

VALUES = ("measure", "cost", "income", "who", "where", "what", "other", "metadata")


class Usage(Catalogue):
    """What was used."""

    def submit_usage(
        self,
        account_code: str,
        meter_code: str,
        ts: datetime,
        measure: Mapping[str, Any],
        uid: str | None = None,
        **fields: Any,
    ) -> None:
        """Takes in one measurement."""
        measurement = {
            "account": account_code,
            "meter": meter_code,
            "ts": iso(ts),
            "measure": dict(measure),
            "uid": uid,
        }
        self.ingest({"measurements": [exact({**measurement, **fields})]})

    def ingest(self, body: Any) -> None:
        """Takes in a batch: what cannot be used is noted as an ingest failure, and a uid seen before is passed over."""
        batch = body.get("measurements") if isinstance(body, dict) else None
        if not isinstance(batch, list) or not 1 <= len(batch) <= 1000:
            raise bad_request("measurements must be a list of 1 to 1000 entries")
        measurements = [read(MEASUREMENT, entry, f"measurements[{place}]") for place, entry in enumerate(batch)]
        for measurement in measurements:
            self._take_in(measurement)

    def _take_in(self, measurement: Resource) -> None:
        uid = measurement.get("uid")
        if uid is not None and uid in self.usage_uids:
            return
        problem = self._problem(measurement)
        if problem is not None:
            self.ingest_failures.append({"message": problem, "measurement": measurement})
            return
        if uid is not None:
            self.usage_uids.add(uid)
        if all(account["code"] != measurement["account"] for account in self.accounts.values()):
            self._create_skeleton(measurement["account"])
        values = {name: value for group in VALUES for name, value in measurement.get(group, {}).items()}
        self.usage.append(
            {
                "account": measurement["account"],
                "meter": measurement["meter"],
                "ts": parse(measurement["ts"]),
                "values": values,
            }
        )

    def _problem(self, measurement: Resource) -> str | None:
        if all(meter["code"] != measurement["meter"] for meter in self.meters.values()):
            return f"Meter {measurement['meter']} does not exist"
        for group in ("measure", "cost", "income"):
            values = measurement.get(group, {})
            if not isinstance(values, dict):
                return f"{group} must be a map of numbers"
            for name, value in values.items():
                try:
                    number()(f"{group}.{name}", value)
                except Refused as refused:
                    return str(refused)
        return None

    def _create_skeleton(self, code: str) -> None:
        """An account that exists only because usage named it."""
        account = self._audited({"name": code, "code": code})
        self.accounts[account["id"]] = account

    def _readings(
        self, account_code: str, aggregation: Resource, segment: Mapping[str, str], period: tuple[datetime, datetime]
    ) -> list[Reading]:
        """The account's values of the aggregated field within the period and, if one is given, the segment."""
        meter = self.meters[aggregation["meterId"]]["code"]
        field = aggregation["targetField"]
        return [
            Reading(event["ts"], event["values"][field])
            for event in self.usage
            if event["account"] == account_code
            and event["meter"] == meter
            and period[0] <= event["ts"] < period[1]
            and field in event["values"]
            and all(event["values"].get(name) == value for name, value in segment.items())
        ]
