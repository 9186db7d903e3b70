import { ApiProperty } from '@nestjs/swagger';

/** One handler's copy of an event, and how far it has come. */
export class EventDelivery {
  @ApiProperty({ example: 'challenge-mails' })
  handler: string;

  @ApiProperty({ enum: ['available', 'running', 'completed', 'skipped', 'discarded', 'held'] })
  state: string;

  @ApiProperty({ description: 'How often it was tried' })
  attempt: number;

  @ApiProperty({ type: Date, nullable: true })
  finished: Date | null;

  @ApiProperty({ type: String, nullable: true })
  error: string | null;
}

/** An event as the ledger keeps it. */
export class ListedEvent {
  @ApiProperty()
  id: string;

  @ApiProperty({ example: 'challenge_created_1' })
  key: string;

  @ApiProperty({ example: 'challenge_created' })
  group: string;

  @ApiProperty({ type: String, nullable: true, example: 'Challenge' })
  entity: string | null;

  @ApiProperty({ type: String, nullable: true, example: '1' })
  entityId: string | null;

  @ApiProperty()
  recorded: Date;

  @ApiProperty({ type: [EventDelivery] })
  deliveries: EventDelivery[];
}

/** A page of events. */
export class ListedEvents {
  @ApiProperty({ type: [ListedEvent] })
  events: ListedEvent[];

  @ApiProperty({ type: String, nullable: true, description: 'The `after` of the next page; null on the last one' })
  next: string | null;
}
