"""The framework's own items: what genesis writes, and what blocks change at 0x1.

Layouts of the resources that a reader may look into (validator set, storage usage) are those of the network;
the others are of plausible size and otherwise random.
"""

from __future__ import annotations

from restore.ledger.ledger_info import EpochState
from restore.ledger.state import Usage
from restore.sample.encode import (
    FRAMEWORK,
    address,
    code_key,
    group_key,
    resource_key,
    sequence,
    struct,
    struct_tag,
    table_key,
    text,
    u64,
    u128,
)
from restore.sample.events import Block
from restore.sample.seed import Source
from restore.wire.bcs import encode_bytes

BLOCK_KEY = resource_key(FRAMEWORK, struct("block", "BlockResource"))
TIME_KEY = resource_key(FRAMEWORK, struct("timestamp", "CurrentTimeMicroseconds"))
USAGE_KEY = resource_key(FRAMEWORK, struct("state_storage", "StateStorageUsage"))
VALIDATORS_KEY = resource_key(FRAMEWORK, struct("stake", "ValidatorSet"))
PERFORMANCE_KEY = resource_key(FRAMEWORK, struct("stake", "ValidatorPerformance"))
CONFIGURATION_KEY = resource_key(FRAMEWORK, struct("reconfiguration", "Configuration"))
FEES_KEY = resource_key(FRAMEWORK, struct("transaction_fee", "CollectedFees"))

SUPPLY_KEY = table_key(
    bytes.fromhex("1b854694ae746cdbd8d44186ca4929b2b337df21d1c74633be19b2710552fdca"), b"\x06supply"
)

_MODULES = (
    "account", "aptos_account", "aptos_coin", "aptos_governance", "block", "chain_id", "code", "coin",
    "event", "features", "genesis", "hash", "jwks", "object", "option", "reconfiguration", "signer",
    "simple_map", "stake", "staking_contract", "state_storage", "string", "table", "timestamp",
    "transaction_fee", "vector", "voting",
)  # fmt: skip

_RESOURCES = (
    ("aptos_governance", "GovernanceConfig"),
    ("chain_id", "ChainId"),
    ("consensus_config", "ConsensusConfig"),
    ("features", "Features"),
    ("gas_schedule", "GasScheduleV2"),
    ("state_storage", "GasParameter"),
    ("storage_gas", "StorageGas"),
    ("version", "Version"),
)

LARGE_MODULE = "staking_contract"
"""One module's code exceeds 64 KiB."""

LARGE_MODULE_BYTES = 70_000

MODULE_BYTES = (200, 3000)


def genesis_items(source: Source, validators: EpochState) -> list[tuple[bytes, bytes]]:
    """(StateKey, data) of every item in genesis's write set, in no order."""
    items = []
    for name in _MODULES:
        size = LARGE_MODULE_BYTES if name == LARGE_MODULE else source.between(*MODULE_BYTES)
        items.append((code_key(FRAMEWORK, name), b"\xa1\x1c\xeb\x0b" + source.take(size)))
    for module, resource in _RESOURCES:
        items.append((resource_key(FRAMEWORK, struct(module, resource)), source.take(source.between(1, 600))))
    coin_info = struct("coin", "CoinInfo", struct_tag("aptos_coin", "AptosCoin"))
    return [
        *items,
        (resource_key(FRAMEWORK, coin_info), text("Aptos Coin") + text("APT") + b"\x08"),
        (group_key(address(10), struct("object", "ObjectGroup")), source.take(150)),
        (SUPPLY_KEY, u128(10**17)),
        (BLOCK_KEY, u64(0) + u64(7_200_000_000)),
        (TIME_KEY, u64(0)),
        (USAGE_KEY, usage_data(0, Usage())),
        (VALIDATORS_KEY, validator_set_data(validators)),
        (PERFORMANCE_KEY, performance_data(source, validators)),
        (CONFIGURATION_KEY, u64(1) + u64(0)),
        (FEES_KEY, u128(0)),
    ]


def usage_data(epoch: int, usage: Usage) -> bytes:
    """StateStorageUsage: the usage at the end of the epoch before `epoch`."""
    return u64(epoch) + u64(usage.items) + u64(usage.bytes)


def block_data(block: Block) -> bytes:
    """BlockResource."""
    return u64(block.height) + u64(7_200_000_000)


def performance_data(source: Source, validators: EpochState) -> bytes:
    """ValidatorPerformance: proposals that succeeded and that failed, of each validator."""
    return sequence(u64(source.below(1000)) + u64(source.below(10)) for _ in validators.validators)


def validator_set_data(state: EpochState) -> bytes:
    """ValidatorSet: scheme, active, pending inactive, pending active, total power, total joining power."""
    active = sequence(
        validator.address
        + u64(validator.voting_power)
        + encode_bytes(validator.public_key)
        + encode_bytes(b"validator addresses")
        + encode_bytes(b"")
        + u64(index)
        for index, validator in enumerate(state.validators)
    )
    return b"\x00" + active + sequence([]) + sequence([]) + u128(state.total_power) + u128(0)
