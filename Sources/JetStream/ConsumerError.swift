// Errors of the consumer part of the API (jetstream-api.md, appendix A).
import Bytes

extension APIError {
  static var workqueueNotUnique: APIError { APIError(400, 10100, "filtered consumer not unique on workqueue stream") }
  static var consumerNameInUse: APIError { APIError(400, 10013, "consumer name already in use") }
  static var consumerNotFound: APIError { APIError(404, 10014, "consumer not found") }
  static var durableMismatch: APIError {
    APIError(400, 10017, "consumer name in subject does not match durable name in request")
  }
  static var durableMissing: APIError { APIError(400, 10018, "consumer expected to be durable but a durable name was not set") }
  static var durableUnexpected: APIError {
    APIError(400, 10020, "consumer expected to be ephemeral but a durable name was set in request")
  }
  static var consumersMaximum: APIError { APIError(400, 10026, "maximum consumers limit reached") }
  static var consumerPathSeparator: APIError { APIError(400, 10127, "Consumer name can not contain path separators") }
  static var filterMismatch: APIError {
    APIError(400, 10131, "Consumer create request did not match filtered subject from create subject")
  }
  static var filtersInSubject: APIError {
    APIError(400, 10137, "consumer with multiple subject filters cannot use subject based API")
  }
  static var groupName: APIError {
    APIError(400, 10162, "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters")
  }
  static var consumerExists: APIError { APIError(400, 10148, "consumer already exists") }
  static var consumerMissing: APIError { APIError(400, 10149, "consumer does not exist") }

  /// What an update must not change (section 11.3, end).
  static func consumerUpdate(_ text: StaticString) -> APIError { APIError(500, 10012, text) }
  /// Start options that do not fit the deliver policy.
  static func consumerStart(_ text: StaticString) -> APIError { APIError(400, 10094, text) }
}
