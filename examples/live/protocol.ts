/** The types and constants that the processes of the live demo share with its page. */

/** Bytes of one message of the load. */
export const CHUNK: number = 16 * 1024;
/** Ms from one report to the next. */
export const REPORT_EVERY = 100;
/** The number of bytes in its socket's queue at which the native producer stops. */
export const GIVE_UP: number = 384 * 1024 * 1024;
/** The high-water mark of our producer's connection, the library's default. */
export const HIGH_WATER_MARK: number = 64 * 1024;

/** A report that a producer prints. */
export interface ProducerReport {
  /** Messages made so far. */
  made: number;
  /** Bytes in its queue now. */
  queue: number;
  /** The most bytes in its queue since the last report. */
  peak: number;
  /** Times that the queue has drained so far. */
  drains: number;
  /** Bytes of memory of the process. */
  rss: number;
}

/** The state of one end-to-end flow. */
export interface FlowSample {
  /** Bytes per second, made and taken. */
  made: number;
  taken: number;
  queue: number;
  peak: number;
  /** Drains since the last sample. */
  drains: number;
  rss: number;
}

/** The message that all pages get ten times a second. */
export interface Sample {
  t: "sample";
  /** Seconds since the start. */
  time: number;
  sluice: FlowSample;
  native: FlowSample;
  /** The last round trip on the loaded connection in ms; `null` while a ping is under way for longer. */
  roundTrip: number | null;
}

/** The settings that a page can change. */
export interface Settings {
  /** Bytes per second that the consumers take. */
  speed: number;
  paused: boolean;
}

/** The kind of sockets of our producer: Deno's, or the kernel's own. */
export type SocketKind = "deno" | "system";

/** The messages to a page. */
export type ToPage =
  | Sample
  | { t: "hello"; name: string }
  | {
    t: "start";
    rate: number;
    chunk: number;
    high: number;
    sockets: SocketKind;
    history: Sample[];
    settings: Settings;
  }
  | { t: "settings" } & Settings
  | { t: "chat"; name: string; text: string }
  | { t: "people"; count: number };

/** The messages from a page. */
export type FromPage =
  | { t: "say"; text: string }
  | { t: "speed"; value: number }
  | { t: "pause"; value: boolean }
  | { t: "restart" };
