export { BullMQCarrier } from './bullmq-carrier.js';
export type {
  BullMQCarrierOptions,
  BullMQHandlersQueueOptions,
  BullMQQueueOptions,
  BullMQRateLimit,
  BullMQRole,
} from './options/bullmq.options.js';
