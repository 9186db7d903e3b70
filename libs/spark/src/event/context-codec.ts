import { ContextError } from '../error/context.error.js';
import { messageOf } from '../error/wording.js';
import { read, write, type Places } from './context-value-types.js';
import { tooLarge } from './context-tree.js';
import type { ClassRef, EntityLookup, EntityRef } from './entity-lookup.js';
import { asSnapshot } from './snapshot.js';

// MariaDB accepts 16 MB a statement by default. A larger statement would fail the application's transaction.
const MOST_CHARACTERS = 1_000_000;

/**
 * Turns contexts into text for the database and back. Dates, bigints, Map, Set, URL, RegExp, Error, Buffer, typed arrays, undefined,
 * NaN, infinities and -0 come back as they were. Entities are stored as references, snapshots as values. An object that the context
 * holds twice comes back as two equal objects. An Error comes back without its class, and a subclass of Date as a Date.
 *
 * @example
 * const codec = new ContextCodec(entities);
 * const text = codec.encode({ challenge, since: new Date() });
 * const found = await load(codec.references(text));
 * const context = codec.decode(text, (ref) => found.get(ref) ?? null);
 */
export class ContextCodec {
  constructor(private readonly entities: EntityLookup) {}

  /**
   * The context as text without NUL and lone surrogates, with 1,000,000 characters at most; null for undefined.
   *
   * @throws ContextError when a part of the context cannot be stored; the message has the reason and the path of that part
   */
  encode(context: unknown): string | null {
    if (context === undefined) return null;
    const text = write(context, this.entities, MOST_CHARACTERS);
    if (text.length > MOST_CHARACTERS) throw new ContextError(tooLarge('context'));
    return text;
  }

  /**
   * The references in a stored context, each once.
   *
   * @throws ContextError when the text is not a stored context
   */
  references(text: string | null): EntityRef[] {
    return this.contents(text).references;
  }

  /**
   * The references in a stored context, each once, and all entity classes that it needs.
   *
   * @throws ContextError when the text is not a stored context
   */
  contents(text: string | null): { references: EntityRef[]; classes: ClassRef[] } {
    const found = new Map<string, EntityRef>();
    const classes: ClassRef[] = [];
    const reference = (ref: EntityRef) => {
      found.set(JSON.stringify([ref.entity, ref.table, ref.id]), ref);
      classes.push(ref);
    };
    this.read(text, { reference, values: (type) => void classes.push(type) });
    return { references: [...found.values()], classes };
  }

  /**
   * The context with entities in place of references.
   *
   * @param resolve returns the entity of a reference, or null when the entity is gone; called once for each place
   * @throws ContextError when the text is not a stored context, or has a snapshot of a class that no longer exists
   */
  decode(text: string | null, resolve: (ref: EntityRef) => object | null): unknown {
    return this.read(text, {
      reference: resolve,
      values: (type, values) => asSnapshot(this.entities.create(type, values)),
    });
  }

  private read(text: string | null, places: Places): unknown {
    if (text === null) return undefined;
    try {
      return read(text, places);
    } catch (error) {
      throw new ContextError(
        `The stored context cannot be read (${messageOf(error)}). Was it written by another version of nestjs-spark, ` +
          `or before an entity was renamed?`,
        { cause: error },
      );
    }
  }
}
