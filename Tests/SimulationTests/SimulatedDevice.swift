// A device that publishes readings to the agent with JetStream acks, as a client written from the protocol's text would: it parses and
// writes for itself. It repeats what was not acknowledged, under the same message id, until it is.
import Bytes
import JSON
import Platform

/// Every reading that was ever published, with what became of it at the edge. The world compares the hub's stream with it.
final class Readings {
  struct Reading {
    let subject: Int
    /// Counts the readings of the subject from 0.
    let number: Int
    let payload: [UInt8]
    var isPublished = false
    var isAcknowledged = false
  }

  private(set) var all: [Reading] = []
  private(set) var acknowledgedCount = 0
  private var perSubject: [Int]

  init(subjectCount: Int) { perSubject = Array(repeating: 0, count: subjectCount) }

  func make(subject: Int, entropy: SeededEntropy) -> Int {
    let number = perSubject[subject]
    perSubject[subject] += 1
    let filler = String(repeating: "x", count: entropy.below(80))
    let text = "{\"sensor\":\(subject),\"n\":\(number),\"value\":\(entropy.below(100_000)),\"unit\":\"kPa\",\"note\":\"\(filler)\"}"
    all.append(Reading(subject: subject, number: number, payload: [UInt8](text.utf8)))
    return all.count - 1
  }

  func published(_ index: Int) { all[index].isPublished = true }

  func acknowledged(_ index: Int) {
    guard !all[index].isAcknowledged else { return }
    all[index].isAcknowledged = true
    acknowledgedCount += 1
  }
}

final class SimulatedDevice: ByteStreamDelegate {
  /// A device that hears nothing for so long while it waits for an ack takes the connection for dead.
  static let ackPatience_ns = 5 * second_ns
  static let reconnect_ns = 500 * millisecond_ns

  private let simulation: Simulation
  let machine: SimulatedMachine
  private let agent: SocketAddress
  private let readings: Readings
  private let window: Int
  private var stream: ByteStream?
  private var isReady = false
  private var connections = 0
  /// Readings that are not acknowledged, oldest first.
  private var waiting: [Int] = []
  /// How many of `waiting` went out on this connection.
  private var sentCount = 0
  private var lastHeard_ns: Int64 = 0
  private(set) var refusals = 0
  /// What the agent said that no server should say.
  private(set) var violations: [String] = []

  init(simulation: Simulation, machine: SimulatedMachine, agent: SocketAddress, readings: Readings, window: Int) {
    self.simulation = simulation
    self.machine = machine
    self.agent = agent
    self.readings = readings
    self.window = window
    connect()
    watch()
  }

  var isDone: Bool { waiting.isEmpty }

  func publish(_ reading: Int) {
    waiting.append(reading)
    send()
  }

  // MARK: The connection

  private func connect() {
    connections += 1
    let number = connections
    _ = machine.host.network.connect(agent, timeout_ns: 2 * second_ns) { [self] result in
      guard number == connections else {
        if case .success(let stream) = result { stream.close() }
        return
      }
      switch result {
      case .success(let stream):
        self.stream = stream
        stream.delegate = self
        lastHeard_ns = simulation.now_ns
      case .failure: again()
      }
    }
  }

  private func again() {
    stream?.delegate = nil
    stream?.close()
    stream = nil
    isReady = false
    sentCount = 0
    connections += 1
    let number = connections
    simulation.after(Self.reconnect_ns) { [self] in
      if number == connections { connect() }
    }
  }

  private func watch() {
    simulation.after(second_ns) { [self] in
      if stream != nil, !isReady || sentCount > 0, simulation.now_ns - lastHeard_ns > Self.ackPatience_ns { again() }
      watch()
    }
  }

  private func write(_ text: String) { stream?.output.append([UInt8](text.utf8)) }

  private func send() {
    guard isReady, let stream else { return }
    if sentCount == 0 { lastHeard_ns = simulation.now_ns }
    while sentCount < min(waiting.count, window) {
      let index = waiting[sentCount]
      let reading = readings.all[index]
      let headers = "NATS/1.0\r\nNats-Msg-Id: reading-\(index)\r\n\r\n"
      write(
        "HPUB sensors.\(reading.subject).value _INBOX.\(machine.name).\(index) \(headers.utf8.count) \(headers.utf8.count + reading.payload.count)\r\n"
      )
      write(headers)
      stream.output.append(reading.payload)
      write("\r\n")
      readings.published(index)
      sentCount += 1
    }
    stream.wantsFlush()
  }

  // MARK: What the agent says

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    lastHeard_ns = simulation.now_ns
    var used = 0
    while let end = bytes.firstIndex(of: ASCII.lineFeed, from: used), self.stream === stream {
      let line = bytes.slice(used, end).trimmed.string
      if line.hasPrefix("MSG ") {
        let words = line.split(separator: " ")
        guard let size = words.last.flatMap({ Int($0) }) else { return violation(line, bytes.count) }
        guard bytes.count >= end + 1 + size + 2 else { return used }
        acknowledgement(String(words[1]), bytes.slice(end + 1, end + 1 + size))
        used = end + 1 + size + 2
      } else {
        used = end + 1
        control(line)
      }
    }
    return self.stream === stream ? used : bytes.count
  }

  private func violation(_ text: String, _ used: Int) -> Int {
    violations.append("the agent said to the device: \(text)")
    return used
  }

  private func control(_ line: String) {
    if line.hasPrefix("INFO ") {
      guard !isReady else { return }
      write(
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"lang\":\"simulation\",\"version\":\"1\",\"protocol\":1}\r\n"
      )
      write("SUB _INBOX.\(machine.name).* 1\r\nPING\r\n")
      stream?.wantsFlush()
    } else if line == "PONG" {
      isReady = true
      send()
    } else if line == "PING" {
      write("PONG\r\n")
      stream?.wantsFlush()
    } else if line.hasPrefix("HMSG ") {
      // The only message with headers here says that nobody stores the subject (yet).
      refusals += 1
      again()
    } else if line.hasPrefix("-ERR") {
      _ = violation(line, 0)
    }
  }

  private func acknowledgement(_ subject: String, _ payload: ByteView) {
    guard let index = Int(subject.split(separator: ".").last ?? ""), let json = try? JSON.parse(payload) else {
      _ = violation("\(subject) \(payload.string)", 0)
      return
    }
    guard json["error"] == nil, let sequence = json["seq"]?.uint64, sequence > 0 else {
      simulation.note("the agent refuses reading \(index): \(payload.string)")
      refusals += 1
      return again()
    }
    readings.acknowledged(index)
    guard let place = waiting.firstIndex(of: index) else { return }
    waiting.remove(at: place)
    if place < sentCount { sentCount -= 1 }
    send()
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    guard stream === self.stream else { return }
    again()
  }
}
