// The application that the examples of the documents are parts of: what they import of it.
import { Module } from '@nestjs/common';
import { Column, Entity, ManyToOne, OneToMany, PrimaryGeneratedColumn, type Relation } from 'typeorm';

@Entity()
export class User {
  @PrimaryGeneratedColumn() id!: number;
  @Column() name!: string;
  @Column() email!: string;
  @Column() timeZone!: string;
  @Column() createdAt!: Date;
}

@Entity()
export class Invoice {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ nullable: true }) dueDate!: Date | null;
  @Column() isPaid!: boolean;
}

@Entity()
export class Device {
  @PrimaryGeneratedColumn() id!: number;
  @Column() isOnline!: boolean;
  @Column({ nullable: true }) offlineSince!: Date | null;
}

@Entity()
export class Challenge {
  @PrimaryGeneratedColumn() id!: number;
  @Column() title!: string;
  @Column() startDate!: Date;
  @Column() endDate!: Date;
  @Column({ default: true }) isActive!: boolean;
  @ManyToOne(() => User) owner!: Relation<User>;
  @OneToMany(() => Donation, ({ challenge }) => challenge) donations!: Donation[];
}

@Entity()
export class Donation {
  @PrimaryGeneratedColumn() id!: number;
  @Column() amount!: number;
  @ManyToOne(() => Challenge) challenge!: Relation<Challenge>;
  @Column() challengeId!: number;
}

@Entity()
export class Product {
  @PrimaryGeneratedColumn() id!: number;
  @Column() price!: number;
  @Column() version!: number;
}

@Entity()
export class Meeting {
  @PrimaryGeneratedColumn() id!: number;
  @Column() start!: Date;
}

@Entity()
export class Order {
  @PrimaryGeneratedColumn() id!: number;
  @Column() isPaid!: boolean;
}

@Entity()
export class Task {
  @PrimaryGeneratedColumn() id!: number;
  @Column() due!: Date;
}

@Entity()
export class Account {
  @PrimaryGeneratedColumn() id!: number;
  @Column() closed!: boolean;
}

export class Donations {
  countByChallenge!: (ids: number[]) => Promise<Map<number, number>>;
}
export class Mailer {
  send!: (...mail: unknown[]) => Promise<{ isBusy: boolean }>;
}
export class Alerts {
  raise!: (...alert: unknown[]) => Promise<void>;
}
export class Tracer {
  current!: () => string;
  span!: <T>(name: string, about: object, work: () => Promise<T>) => Promise<T>;
}
export class ChallengesService {
  create!: (challenge: Partial<Challenge>) => Promise<Challenge>;
}
export class ChallengeEvents {}
export class ChallengeMails {}
export const myMigrations: (new () => never)[] = [];

@Module({})
export class AppModule {}
@Module({})
export class ChallengesModule {}
@Module({})
export class DatabaseModule {}
