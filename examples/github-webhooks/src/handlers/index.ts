export { deliverToSubscriber } from "./deliver-to-subscriber.ts";
export { recordDelivery } from "./record-delivery.ts";
export { summariseRepository } from "./summarise-repository.ts";
