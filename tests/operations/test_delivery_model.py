"""Deliveries at random (seeded), beside a model of what is promised: the store and the model never differ."""
from __future__ import annotations

import copy
import random
import warnings

import pytest
from conftest import size

from milestone_persist import Refused

AGENTS = ("a", "b", "c")
MILESTONES = ("ms-1", "ms-2")
LIMIT = 2  # message_retry_limit
TOLERANCE = 60  # seconds by which the clocks of machines may differ


class Message:
    def __init__(self, number, to, meant, priority):
        self.number, self.to, self.meant, self.priority = number, to, meant, priority
        self.state, self.retries, self.until = "pending", 0, None

    def back(self, retry=1):
        """Into the inbox again, or dead if it was tried too often."""
        if retry and self.retries >= LIMIT:
            self.state = "dead"
        else:
            self.state, self.retries, self.until = "pending", self.retries + retry, None


class Model:
    """Inboxes, lives and leases as the documents have them."""

    def __init__(self):
        self.messages, self.milestone, self.status = {}, {}, {}

    def of(self, agent, *states):
        return [m for m in self.messages.values() if m.to == agent and m.state in states]

    def lapse(self, now, agents=AGENTS):
        """Whoever does something to an inbox writes down which leases have run out; who looks only sees it."""
        for m in self.messages.values():
            if m.to in agents and m.state == "taken" and m.until is not None and m.until <= now:
                m.back()

    def send(self, number, sender, to, priority):
        ended = self.status[to] in ("completed", "failed")
        self.messages[number] = Message(number, to, self.milestone[sender if ended else to], priority)

    def inbox(self, agent):
        return sorted((m for m in self.of(agent, "pending") if m.meant == self.milestone[agent]),
                      key=lambda m: (-m.priority, m.number))

    def take(self, agent, count, until):
        told = [m.number for m in self.of(agent, "taken") if until is None and m.until is None]
        for number in told:
            self.messages[number].state = "acknowledged"
        for m in self.inbox(agent)[:count]:
            m.state, m.until = "taken", until
        return told

    def register(self, agent, milestone, died):
        for m in self.of(agent, "taken"):
            m.back(int(died))
        self.milestone[agent], self.status[agent] = milestone, "active"

    def end(self, agent, status):
        self.status[agent] = status
        for m in self.of(agent, "taken"):
            if status == "failed":
                m.back()
            elif m.until is None:
                m.state = "acknowledged"

    def requeue(self, number):
        m = self.messages[number]
        m.retries = 0 if m.state == "dead" else m.retries
        m.back(0)


class World:
    """The store, the model, and what its agents were told."""

    def __init__(self, stores, clock, seed):
        self.stores, self.clock, self.random, self.model = stores, clock, random.Random(seed), Model()
        self.told, self.handed, self.latest = set(), set(), clock.seconds
        self.store.set_storage_config("message_retry_limit", str(LIMIT))
        self.store.set_storage_config("session_timeout", "999999999")
        for agent in AGENTS:
            self.register(agent)

    @property
    def store(self):
        """That of any of several processes."""
        return self.random.choice(self.stores)

    def register(self, agent):
        milestone = self.random.choice(MILESTONES)
        self.model.lapse(self.clock.seconds, agent)
        self.store.register_agent(agent, "validation", milestone, f"execution-{milestone}")
        self.model.register(agent, milestone, self.model.status.get(agent) in ("completed", "failed"))

    def send(self, agent):
        to, priority = self.random.choice(AGENTS), self.random.choice((1, 5, 10))
        number = self.store.send_agent_message(agent, to, "x-t", {}, priority)["id"]
        self.model.send(number, agent, to, priority)

    def take(self, agent, lease=None):
        count = self.random.choice((1, 2, 10))
        self.model.lapse(self.clock.seconds, agent)
        expected = [m.number for m in self.model.inbox(agent)[:count]]
        self.told.update(self.model.take(agent, count, None if lease is None else self.clock.seconds + lease))
        got = [row["id"] for row in self.store.get_agent_messages(agent, True, count, lease=lease)]
        assert got == expected
        self.handed.update(got)

    def lease(self, agent):
        self.take(agent, self.random.choice((5, 60)))

    def acknowledge(self, agent):
        for m in self.model.of(agent, "taken", "dead", "pending")[:1]:
            self.store.acknowledge_agent_message(agent, m.number)
            m.state = "acknowledged"
            self.told.add(m.number)

    def requeue(self, agent):
        for m in self.model.of(agent, "taken", "dead", "acknowledged")[-1:]:
            self.model.lapse(self.clock.seconds, agent)
            self.store.requeue_agent_message(agent, m.number)
            self.model.requeue(m.number)

    def fail(self, agent):
        self.store.update_agent_status(agent, "failed")
        self.model.end(agent, "failed")

    def complete(self, agent):
        self.told.update(m.number for m in self.model.of(agent, "taken") if m.until is None)
        self.store.update_agent_status(agent, "completed")
        self.model.end(agent, "completed")

    def wait(self, agent):
        self.clock.advance(self.random.choice((1, 5, 30, 60)))

    def set_clock_back(self, agent):
        """By no more than the clocks of machines may differ: from beyond that, a lease would begin again."""
        self.latest = max(self.latest, self.clock.seconds)
        back = self.random.choice((1, 5, 50))
        if self.latest - (self.clock.seconds - back) <= TOLERANCE:
            self.clock.advance(-back)

    def step(self):
        action = self.random.choice((self.send,) * 4 + (self.take,) * 2 + (self.lease,) * 3 + (
            self.acknowledge, self.acknowledge, self.requeue, self.register, self.fail, self.complete, self.wait,
            self.wait, self.set_clock_back))
        action(self.random.choice(AGENTS))
        return action.__name__


def compare(world):
    """What every way of looking shows is what the model has; what is done was handed to somebody, or named."""
    model, store, shown = copy.deepcopy(world.model), world.store, {}
    model.lapse(world.clock.seconds)
    for agent in AGENTS:
        rows = store.list_agent_messages(agent, limit=10 ** 6)
        shown.update((row["id"], row["state"]) for row in rows)
        assert [(row["id"], row["retry_count"]) for row in store.get_agent_messages(agent)] == [
            (m.number, m.retries) for m in model.inbox(agent)]
        assert {row["id"] for row in store.get_agent_messages(agent, taken=True)} == {
            m.number for m in model.of(agent, "taken")}
    assert shown == {number: m.state for number, m in model.messages.items()}
    states = [m.state for m in model.messages.values()]
    sessions = [store.get_session_status(f"execution-{name}")["messages"] for name in MILESTONES
                if any(row["session_id"] == f"execution-{name}" for row in store.list_coordination_sessions())]
    for state in ("pending", "taken", "acknowledged", "dead"):
        assert store.get_session_recovery_status()["messages"][state] == states.count(state) == sum(
            counts[state] for counts in sessions)
    assert {n for n, m in model.messages.items() if m.state == "acknowledged"} <= world.told
    assert {n for n, m in model.messages.items() if m.state == "dead"} <= world.handed


@pytest.mark.parametrize("backend", ["file", "hybrid", "postgresql"], indirect=True)  # database has hybrid's engine
@pytest.mark.parametrize("seed", range(size(2, 8)))
def test_store_and_model_never_differ(store, connect, clock, backend, seed):
    world = World([store, connect()], clock, seed)
    done, pause = [], 1 if backend == "hybrid" else 5  # to look is a dozen calls, which elsewhere are dearer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(size(40, 150)):
            try:
                done.append(world.step())
                if number % pause == 0:
                    compare(world)
            except (AssertionError, Refused) as error:
                raise AssertionError(f"seed {seed}, after {' '.join(done)}") from error
