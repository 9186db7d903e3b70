import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { MailModule } from '../mail/mail.module.js';
import { BadgePrinter } from './badge-printer.js';
import { SampleSupporters } from './sample-supporters.js';
import { SupporterBadges } from './supporter.badges.js';
import { Supporter } from './supporter.entity.js';
import { SupporterEvents } from './supporter.events.js';
import { SupporterLetters } from './supporter.letters.js';

@Module({
  imports: [TypeOrmModule.forFeature([Supporter]), MailModule],
  providers: [SupporterEvents, SupporterBadges, SupporterLetters, BadgePrinter, SampleSupporters],
})
export class SupporterModule {}
