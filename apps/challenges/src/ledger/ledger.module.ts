import { Module } from '@nestjs/common';
import { EventRecords } from './event-records.js';
import { LedgerController } from './ledger.controller.js';

@Module({ controllers: [LedgerController], providers: [EventRecords] })
export class LedgerModule {}
