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
  /**
   * @param reason what is wrong with the context
   * @param hasContext whether a context is stored
   */
  constructor(
    readonly group: string,
    readonly key: string,
    reason: string,
    versions: SchemaVersions,
    hasContext = true,
  ) {
    super(
      `The stored context of ${quoted(key)} (group ${quoted(group)}) does not fit the schema of this release: ${reason}. ${causeOf(versions, hasContext)} ` +
        `Change the schema so that it accepts the context, or discard the delivery.`,
    );
  }
}

function causeOf({ stored, own }: SchemaVersions, hasContext: boolean): string {
  if (!hasContext) return 'It has no context: it was given none, or `retention` or `erase` has removed it.';
  if (stored === own) return 'A release with another schema has stored it, or an entity in it has changed.';
  return `It was stored with ${versionOf(stored)} of the schema, and this release has ${versionOf(own)}.`;
}

const versionOf = (version: number | undefined): string =>
  version === undefined ? 'no version' : `version ${version}`;
