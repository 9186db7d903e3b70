import { quoted } from './wording.js';
import { SparkError } from './spark.error.js';

/** The versions of a schema: of the release that has stored a context, and of this release. */
export interface SchemaVersions {
  readonly stored: number | undefined;
  readonly own: number | undefined;
}

/**
 * The stored context of an event does not fit the schema that this release has for its handler. The attempt has failed, and Spark tries
 * again. The message has the paths and the messages of the schema.
 */
export class ContextSchemaError extends SparkError {
  /** @param reason what is wrong with the context */
  constructor(
    readonly group: string,
    readonly key: string,
    reason: string,
    { stored, own }: SchemaVersions,
  ) {
    const cause =
      stored === own
        ? 'A release with another schema has stored it, or an entity in it has changed.'
        : `It was stored with ${versionOf(stored)} of the schema, and this release has ${versionOf(own)}.`;
    super(
      `The stored context of ${quoted(key)} (group ${quoted(group)}) does not fit the schema of this release: ${reason}. ${cause} ` +
        `Change the schema so that it accepts the context, or discard the delivery.`,
    );
  }
}

const versionOf = (version: number | undefined): string =>
  version === undefined ? 'no version' : `version ${version}`;
