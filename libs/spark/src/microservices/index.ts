export type { CloudEvent } from './cloud-event.js';
export { type JetStreamOptions, type JetStreamPublisher, toJetStream } from './jet-stream.js';
export { Relay, type RelayPattern } from './relay.decorator.js';
export type { CloudEventSender } from './relay.metadata.js';
export type { RelayOptions, SparkRelayOptions } from './relay.options.js';
export { type ConfiguredRelay, SparkRelayModule } from './spark-relay.module.js';
