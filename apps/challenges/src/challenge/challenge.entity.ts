import { ApiProperty } from '@nestjs/swagger';
import { Column, Entity, OneToMany, PrimaryGeneratedColumn } from 'typeorm';
import type { Relation } from 'typeorm';
import { EPOCH_MS } from '../epoch-ms.js';
import { Donation } from './donation.entity.js';

/** Something that its owner wants to achieve, and collects donations with. */
@Entity()
export class Challenge {
  @ApiProperty()
  @PrimaryGeneratedColumn()
  id: number;

  @ApiProperty({ example: 'Run 10 km' })
  @Column({ length: 200 })
  title: string;

  @ApiProperty({ example: 'ada@example.org' })
  @Column()
  ownerMail: string;

  @ApiProperty()
  @Column({ default: true })
  isActive: boolean;

  @ApiProperty()
  @Column(EPOCH_MS)
  startDate: Date;

  @ApiProperty()
  @Column(EPOCH_MS)
  endDate: Date;

  @ApiProperty({ type: Number, nullable: true, example: 50000, description: 'In cents' })
  @Column({ type: 'int', nullable: true })
  goal: number | null;

  @ApiProperty({ type: () => [Donation] })
  @OneToMany(() => Donation, (donation) => donation.challenge)
  donations: Relation<Donation[]>;
}

/** The sum of all donations, in cents. */
export const raisedBy = ({ donations }: Challenge): number => donations.reduce((sum, { amount }) => sum + amount, 0);
