// The option table of an entry of `streams`. The names are those of JetStream's StreamConfig.
import Bytes

extension StreamDeclaration {
  static var table: [Option<StreamDeclaration>] {
    /// -1 is unlimited.
    let limit: ClosedRange<Int64> = -1...Int64.max
    let age: ClosedRange<Int64> = 0...Int64.max
    return [
      Option("name", kind: .string { $0.name = $1 }, doc: "The stream's name: no blanks, none of `. * > / \\`."),
      Option("description", kind: .string { $0.description = $1 }, doc: "A text for people."),
      Option("subjects", kind: .subjects { $0.subjects = $1 }, standard: "the name", doc: "What the stream stores."),
      Option(
        "retention", kind: .choice(["limits", "interest", "workqueue"]) { $0.retention = [.limits, .interest, .workqueue][$1] },
        standard: "limits", doc: "Why messages are kept."),
      Option(
        "storage", kind: .choice(["file", "memory"]) { $0.storage = [.file, .memory][$1] }, standard: "file",
        doc: "Where messages are kept."),
      Option(
        "discard", kind: .choice(["old", "new"]) { $0.discard = [.old, .new][$1] }, standard: "old",
        doc: "What gives way when a limit is reached."),
      Option(
        "compression", kind: .choice(["none", "s2"]) { $0.compression = [Compression.none, .s2][$1] }, standard: "none",
        doc: "Accepted and shown as nats-server does; messages are stored as they came."),
      Option("max_consumers", kind: .integer(limit) { $0.maxConsumers = $1 }, standard: "-1", doc: "Consumers at a time."),
      Option("max_msgs", kind: .integer(limit) { $0.maxMsgs = $1 }, standard: "-1", doc: "Messages kept."),
      Option("max_bytes", kind: .size(limit) { $0.maxBytes = $1 }, standard: "-1", doc: "Bytes kept."),
      Option(
        "max_msgs_per_subject", kind: .integer(limit) { $0.maxMsgsPerSubject = $1 }, standard: "-1", doc: "Messages kept of each subject."),
      Option(
        "max_msg_size", kind: .size(-1...Int64(Int32.max)) { $0.maxMsgSize = $1 }, standard: "-1",
        doc: "The largest message, header and body."),
      Option("max_age", kind: .duration(age) { $0.maxAge_ns = $1 }, standard: "0s", doc: "How long messages are kept; 0 is for ever."),
      Option(
        "duplicate_window", kind: .duration(age) { $0.duplicateWindow_ns = $1 }, standard: "\"2m\"",
        doc: "How long a `Nats-Msg-Id` is remembered."),
      Option("num_replicas", "replicas", kind: .integer(1...1) { $0.numReplicas = $1 }, standard: "1", doc: "Copies: always 1 here."),
      Option("first_seq", kind: .integer(0...Int64.max) { $0.firstSeq = $1 }, standard: "0", doc: "The sequence of the first message."),
      Option("no_ack", kind: .boolean { $0.noAck = $1 }, standard: "false", doc: "Publishers get no acknowledgement."),
      Option(
        "discard_new_per_subject", kind: .boolean { $0.discardNewPerSubject = $1 }, standard: "false",
        doc: "Refuses a new message when its subject is full."),
      Option("allow_direct", kind: .boolean { $0.allowDirect = $1 }, standard: "false", doc: "Answers direct gets."),
      Option("allow_rollup_hdrs", kind: .boolean { $0.allowRollupHdrs = $1 }, standard: "false", doc: "Honours `Nats-Rollup`."),
      Option("deny_delete", kind: .boolean { $0.denyDelete = $1 }, standard: "false", doc: "Refuses to delete messages by the API."),
      Option("deny_purge", kind: .boolean { $0.denyPurge = $1 }, standard: "false", doc: "Refuses to purge by the API."),
    ]
  }

  static var refused: RefusedOptions {
    RefusedOptions(
      unsupported: """
        placement mirror sources subject_transform republish mirror_direct sealed consumer_limits allow_msg_ttl \
        subject_delete_marker_ttl allow_msg_counter allow_atomic allow_msg_schedules persist_mode allow_batched \
        metadata
        """)
  }
}
