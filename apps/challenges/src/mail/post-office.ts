/** A mail to send. */
export interface Letter {
  /** The key of its event. Two letters with one key are the same letter, sent twice. */
  readonly key: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

/** Sends letters. An implementation rejects when it cannot, and Spark tries again later. */
export abstract class PostOffice {
  abstract send(letter: Letter): Promise<void>;
}

/**
 * The parts of a message that every way of sending shares.
 *
 * A handler is called at least once: if a process dies between sending a mail and recording that, the mail is sent again.
 * The event's key is the idempotency key. It makes the Message-ID, by which mail servers and readers recognise a mail that
 * they have already.
 */
export function messageOf({ key, to, subject, text }: Letter) {
  return {
    messageId: `<${encodeURIComponent(key)}@challenges.example.org>`,
    from: { name: 'Challenges', address: 'hello@challenges.example.org' },
    to: { name: '', address: to },
    subject,
    text,
  };
}
