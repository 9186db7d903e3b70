import { ApiProperty } from '@nestjs/swagger';

/** One handler's copy of an event, and how far it has come. */
export class DeliveryRecord {
  @ApiProperty({ example: 'challenge-mails' })
  handler: string;

  @ApiProperty({ enum: ['available', 'running', 'completed', 'skipped', 'discarded', 'held'] })
  state: string;

  @ApiProperty({ description: 'How often it was tried' })
  attempt: number;

  @ApiProperty({ type: Date, nullable: true })
  finishedAt: Date | null;

  @ApiProperty({ type: String, nullable: true })
  lastError: string | null;
}

/** An event as the ledger keeps it. */
export class EventRecord {
  @ApiProperty()
  id: string;

  @ApiProperty({ example: 'challenge_created_1' })
  key: string;

  @ApiProperty({ example: 'challenge_created' })
  group: string;

  @ApiProperty({ type: String, nullable: true, example: 'challenge' })
  entity: string | null;

  @ApiProperty({ type: String, nullable: true, example: '1' })
  entityId: string | null;

  @ApiProperty()
  recordedAt: Date;

  @ApiProperty({ type: [DeliveryRecord] })
  deliveries: DeliveryRecord[];
}
