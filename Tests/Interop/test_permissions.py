"""What users may publish and subscribe to, as a real nats-server with the same file has it."""

import pytest

from sidebyside import Exchange, Pair, login

CONFIG = """
authorization {
  default_permissions: { publish: ["def.>"], subscribe: {allow: ["foo.*", "_INBOX.>"], deny: ["foo.x"]} }
  users: [
    { user: default, password: p }
    { user: nothing, password: p, permissions: {publish: {allow: []}, subscribe: {deny: []}} }
    { user: queues, password: p, permissions: {subscribe: {allow: ["foo", "bar q1", "baz.> q.*", "baz.>", "only v1.*"], deny: ["bar q2", "foo qd"]}} }
    { user: wide, password: p, permissions: {subscribe: {deny: ["s.secret", "t.>", "q.x group"]}} }
    { user: answers, password: p, permissions: {subscribe: ">", allow_responses: true} }
    { user: answers2, password: p, permissions: {subscribe: ["req"], publish: {allow: ["x"]}, allow_responses: {max: 2, expires: "300ms"}} }
    { user: never, password: p, permissions: {subscribe: ["req"], publish: {deny: ["no"]}, allow_responses: {max: -1, expires: "-1s"}} }
    { user: all, password: p, permissions: {} }
  ]
}
"""
SUBSCRIPTIONS = ["foo.*", "foo.x", "foo.*.*", ">", "a", "foo", "foo any", "foo qd", "bar", "bar q1", "bar q2", "baz.a", "baz.a q.1", "baz.a zz", "baz.*",
                 "only", "only v1.a", "only v2", "s.secret", "s.>", "s.*", "t.a", "t.>", "q.x", "q.x group", "q.* group", "_INBOX.a", "req", "no"]
SUBJECTS = ["def.a", "def.a.b", "def", "foo", 'a"b', "a\\\\b", "x", "no", "$JS.API.INFO", "\u00e4"]


@pytest.fixture
def pair(servers):
    return Pair(servers, CONFIG)


def test_every_user_may_the_same(pair):
    for user in ("default", "nothing", "queues", "wide", "answers", "answers2", "never", "all"):
        subs = "".join(f"SUB {subject} {sid}\r\n" for sid, subject in enumerate(SUBSCRIPTIONS))
        for lines in (subs, "".join(f"PUB {subject} 1\r\nx\r\n" for subject in SUBJECTS)):
            real, ours = (Exchange(server).say(login(user, "p"), lines).heard() for server in pair.both)
            assert ours == real, user


def test_verbose_denials(pair):
    pair.say('CONNECT {"user":"default","pass":"p"}\r\nPUB foo 1\r\nx\r\nPUB def.a 1\r\nx\r\nSUB a 1\r\nSUB foo.a 2\r\nUNSUB 1\r\n')


@pytest.mark.ours
def test_a_wildcard_is_not_allowed_by_an_entry_that_covers_less(petiole):
    # nats-server 2.15.1 takes the ">" of `foo.>` for a token that `foo.*` matches, and then delivers foo.a.b. docs/accounts.md.
    heard = Exchange(petiole(CONFIG)).say(login("default", "p"), "SUB foo.> 1\r\n").heard()
    assert 'Permissions Violation for Subscription to "foo.>"' in heard


def test_denied_messages_are_held_back_from_wider_subscriptions(pair):
    def act(server):
        listener = Exchange(server).say(login("wide", "p"), "SUB s.> 1\r\nSUB t.> 2\r\nSUB > 3\r\nSUB q.* group 4\r\nSUB q.* 5\r\n")
        sender = Exchange(server).say(login("all", "p"))
        for subject in ("s.secret", "s.open", "t.a", "q.x", "q.y"):
            sender.say(f"PUB {subject} 1\r\nx\r\n")
        # Several subscriptions match, in an order that is nobody's business.
        return sorted(listener.say().heard().split("\r\n"))

    pair.same(act)


def test_a_group_member_that_may_not_hear_is_passed_over(pair):
    def act(server):
        denied = Exchange(server).say(login("wide", "p"), "SUB q.* group 1\r\n")
        other = Exchange(server).say(login("all", "p"), "SUB q.* group 1\r\n")
        sender = Exchange(server).say(login("all", "p"))
        sender.say("PUB q.x 1\r\nx\r\n" * 20)
        return denied.say().heard(), other.say().heard()

    pair.same(act)


@pytest.mark.parametrize("user", ["answers", "answers2", "never"])
def test_requests_may_be_answered(pair, user):
    def act(server):
        responder = Exchange(server).say(login(user, "p"), "SUB req 1\r\n")
        asker = Exchange(server).say(login("all", "p"), "SUB inbox.> 9\r\n")
        asker.say("PUB req inbox.1 1\r\nq\r\n")
        responder.until("inbox.1")
        # One answer, a second, a third; what was never asked; another request.
        responder.say("PUB inbox.1 1\r\n1\r\nPUB inbox.1 1\r\n2\r\nPUB inbox.1 1\r\n3\r\nPUB inbox.2 1\r\n4\r\nPUB req 1\r\n5\r\n")
        asker.say("PUB req inbox.1 1\r\nq\r\n")
        responder.until("inbox.1")
        responder.say("PUB inbox.1 1\r\n6\r\nPUB no 1\r\nx\r\nPUB x 1\r\nx\r\n")
        return responder.heard(), asker.say().heard()

    pair.same(act)


def test_answers_come_too_late(pair):
    import time

    def act(server):
        responder = Exchange(server).say(login("answers2", "p"), "SUB req 1\r\n")
        asker = Exchange(server).say(login("all", "p"), "SUB inbox.> 9\r\n")
        asker.say("PUB req inbox.1 1\r\nq\r\n")
        responder.until("inbox.1")
        time.sleep(0.5)  # what is tested is that time passes
        return responder.say("PUB inbox.1 1\r\n1\r\n").heard()

    assert "Permissions Violation" in pair.same(act)
