/** The names of attributes, by the messaging conventions of OpenTelemetry where they have one. */
export const SYSTEM = 'messaging.system';
export const OPERATION = 'messaging.operation.name';
export const OPERATION_TYPE = 'messaging.operation.type';
export const GROUP = 'messaging.destination.name';
export const HANDLER = 'messaging.consumer.group.name';
export const KEY = 'messaging.message.id';
export const BATCH_SIZE = 'messaging.batch.message_count';
export const ERROR_TYPE = 'error.type';
export const ATTEMPT = 'spark.attempt';
export const DELIVERY_ID = 'spark.delivery.id';
export const STATE = 'spark.delivery.state';
export const SOURCE = 'spark.source';
export const PROBLEM = 'spark.problem';
export const DATA_SOURCE = 'spark.data_source';

/** What all that enters events has. */
export const ENTERING = { [SYSTEM]: 'spark', [OPERATION]: 'enter', [OPERATION_TYPE]: 'create' } as const;

/** What all that handles events has. */
export const PROCESSING = { [SYSTEM]: 'spark', [OPERATION]: 'process', [OPERATION_TYPE]: 'process' } as const;

/** The name of what instruments: spans and metrics carry it. */
export const SCOPE = 'nestjs-spark';
