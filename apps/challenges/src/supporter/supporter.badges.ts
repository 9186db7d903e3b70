import { Injectable } from '@nestjs/common';
import { DiscardDelivery, type EventOf, GroupHandler } from 'nestjs-spark';
import { BadgePrinter } from './badge-printer.js';
import { supporterJoined } from './supporter.definitions.js';

/** How many characters of a name a badge has room for. */
const LONGEST = 24;

/** Prints a badge for each supporter. */
@Injectable()
export class SupporterBadges {
  constructor(private readonly printer: BadgePrinter) {}

  // A jam takes a person to clear. Until then, each attempt would fail.
  @GroupHandler(supporterJoined, { name: 'supporter-badges', backoff: () => '1h' })
  print({ context: { supporter } }: EventOf<typeof supporterJoined>): void {
    const { length } = supporter.name;
    if (length > LONGEST)
      throw new DiscardDelivery(`The name has ${length} characters, and a badge has room for ${LONGEST}.`);
    this.printer.print(supporter);
  }
}
