// swift-tools-version: 6.2
// One source, two builds (docs/decisions/0001-two-builds.md):
//   swift build / swift test          the ordinary compiler: tests, sanitizers, the embeddable library
//   EMBEDDED=1 swift build --swift-sdk …   the shipping binary: Embedded Swift, static (make release)
import PackageDescription

let embedded = Context.environment["EMBEDDED"] == "1"

/// Where messages pass in numbers, the compiler optimises for speed; everywhere else for size.
let hot = ["Bytes", "Wire", "Interest", "Compression", "Platform", "Broker"]

func settings(_ module: String) -> [SwiftSetting] {
  // Embedded mode needs every file to import what it uses; MemberImportVisibility makes the ordinary build as strict, and much sooner.
  let common: [SwiftSetting] = [.treatAllWarnings(as: .error), .enableUpcomingFeature("MemberImportVisibility")]
  guard embedded else { return common }
  return common + [
    .enableExperimentalFeature("Embedded"),
    // One reactor thread owns every Swift object; the committer thread is C and sees none of them.
    //
    // Each module compiles again what it uses of others, as weak symbols of which the linker keeps one. The object outliner names its
    // constants by their order in the optimised function, and that differs between those copies: the code of one would get the
    // constants of another.
    .unsafeFlags([
      "-Xllvm", "-sil-disable-pass=object-outliner",
      "-wmo", hot.contains(module) ? "-O" : "-Osize", "-Xfrontend", "-function-sections", "-Xfrontend", "-assume-single-threaded",
      "-enforce-exclusivity=unchecked",
    ]),
  ]
}
let c: [CSetting] = embedded ? [.unsafeFlags(["-O2", "-ffunction-sections", "-fdata-sections"])] : []

/// The floors of the house, from the ground up. A module imports only from floors below it.
let floors: [(name: String, imports: [String])] = [
  ("Bytes", ["CLinux"]),
  ("JSON", ["Bytes"]),
  ("Compression", ["Bytes", "CLinux", "CLZ4"]),
  ("Wire", ["Bytes"]),
  ("Interest", ["Bytes"]),
  ("Identity", ["Interest", "JSON", "Bytes", "COpenSSL", "CLinux"]),
  ("Configuration", ["Identity", "Interest", "Bytes", "CLinux"]),
  ("Platform", ["Bytes", "CLinux", "COpenSSL"]),
  ("Web", ["Platform", "Bytes", "CLinux"]),
  ("LogStore", ["Platform", "Interest", "Bytes"]),
  ("Broker", ["Web", "Platform", "Identity", "Interest", "Wire", "JSON", "Bytes"]),
  ("JetStream", ["Broker", "Identity", "LogStore", "Platform", "Interest", "Wire", "Compression", "JSON", "Bytes"]),
  ("Leaf", ["JetStream", "Broker", "Identity", "Web", "Platform", "Interest", "Wire", "Compression", "JSON", "Bytes"]),
  ("Uplink", ["Leaf", "Broker", "Web", "Platform", "Wire", "JSON", "Bytes"]),
  (
    "Monitoring",
    ["Uplink", "Leaf", "JetStream", "LogStore", "Broker", "Identity", "Web", "Platform", "Interest", "Wire", "JSON", "Bytes"]
  ),
  (
    "Agent",
    [
      "Monitoring", "Uplink", "Leaf", "JetStream", "LogStore", "Broker", "Identity", "Web", "Configuration", "Platform", "Interest", "Wire",
      "JSON",
      "Bytes",
    ]
  ),
]

func dependencies(_ names: [String]) -> [Target.Dependency] { names.map { .byName(name: $0) } }

/// What tests need besides what they test: certificates, and how tests that run through many seeds choose these.
let supports = ["Platform": ["CCertificates"], "Leaf": ["CCertificates"], "LogStore": ["SeedRuns"], "JetStream": ["SeedRuns"]]

/// One test target for each floor; the composition root is tested whole, by the simulation.
let tests: [Target] =
  [.target(name: "SeedRuns", dependencies: ["CLinux"], path: "Tests/SeedRuns", swiftSettings: settings("SeedRuns"))]
  + floors.filter { $0.name != "Agent" }.map {
    .testTarget(
      name: $0.name + "Tests", dependencies: dependencies([$0.name] + $0.imports + supports[$0.name, default: []]),
      swiftSettings: settings($0.name),
      // The reference for our bcrypt.
      linkerSettings: $0.name == "Platform" ? [.linkedLibrary("crypt")] : [])
  } + [
    .target(name: "CCertificates", path: "Tests/CCertificates", linkerSettings: [.linkedLibrary("crypto")]),
    .testTarget(name: "COpenSSLTests", dependencies: ["COpenSSL"], swiftSettings: settings("COpenSSLTests")),
    .testTarget(
      name: "SimulationTests", dependencies: dependencies(floors.map { $0.name } + ["CLinux", "SeedRuns"]),
      swiftSettings: settings("SimulationTests")),
  ]

let package = Package(
  name: "petiole",
  products: [
    .executable(name: "petiole", targets: ["petiole"]),
    .library(name: "Petiole", targets: ["Agent"]),
  ],
  targets: [
    .target(name: "CLinux", cSettings: c),
    .target(name: "CLZ4", cSettings: c, linkerSettings: [.linkedLibrary("lz4")]),
    .target(name: "COpenSSL", cSettings: c, linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
  ]
    + floors.map { .target(name: $0.name, dependencies: dependencies($0.imports), swiftSettings: settings($0.name)) }
    + [
      .executableTarget(
        name: "petiole", dependencies: dependencies(floors.map { $0.name } + ["CLinux"]), swiftSettings: settings("petiole"),
        linkerSettings: [.linkedLibrary("m")])
    ] + (embedded ? [] : tests)
)
