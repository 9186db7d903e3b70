import { ContextError } from '../error/context.error.js';
import { messageOf } from '../error/wording.js';
import { read, write, type Places } from './context-json.js';
import { tooLarge } from './context-tree.js';
import type { ClassRef, EntityLookup, EntityRef } from './entity-lookup.js';
import { asSnapshot } from './snapshot.js';

// MariaDB takes 16 MB a statement by default; a larger one would fail the user's transaction.
const MOST_CHARACTERS = 1_000_000;

/**
 * Turns contexts into text for the database and back. Dates, bigints, Map, Set, URL, RegExp, Error, Buffer and typed arrays
 * survive, as do undefined, NaN, infinities and -0; entities become references, and snapshots their values. An object that
 * is held twice comes back as two equal ones; an Error comes back without its class, and a subclass of Date as a Date.
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
   * The context as text without NUL and lone surrogates, 1,000,000 characters at most; null for undefined.
   *
   * @throws ContextError when a part of it cannot be stored; the message is a reason with the path of that part
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
   * The context with entities in the places of references.
   *
   * @param resolve gives an entity, or null when it is gone; it is asked for each place
   * @throws ContextError when the text is not a stored context, or holds a snapshot of a class that is gone
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
