"""Kafka, by librdkafka.

Owns the connection to Kafka brokers. Promises what the port's docstring says. Never is asked where
order or truth comes from.
"""

from serai.adapters.kafka.outlet import KafkaBus

__all__ = ["KafkaBus"]
