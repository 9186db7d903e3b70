import { ApiProperty } from '@nestjs/swagger';
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from 'typeorm';
import type { Relation } from 'typeorm';
import { Challenge } from './challenge.entity.js';

/** Money that somebody gives for a challenge. */
@Entity()
export class Donation {
  @ApiProperty()
  @PrimaryGeneratedColumn()
  id: number;

  @ApiProperty({ example: 2500, description: 'In cents' })
  @Column()
  amount: number;

  @ApiProperty({ type: String, nullable: true, example: 'Grace' })
  @Column({ type: 'varchar', length: 200, nullable: true })
  donor: string | null;

  @ManyToOne(() => Challenge, (challenge) => challenge.donations, { nullable: false, onDelete: 'CASCADE' })
  challenge: Relation<Challenge>;
}
