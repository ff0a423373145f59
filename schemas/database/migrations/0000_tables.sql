CREATE TABLE "bundle" (
	"id" text PRIMARY KEY NOT NULL,
	"content" text NOT NULL,
	"first_active" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "grants" (
	"id" uuid PRIMARY KEY NOT NULL,
	"token_sha256" text NOT NULL,
	"token_last4" text NOT NULL,
	"user_id" text NOT NULL,
	"agent" text NOT NULL,
	"servers" text[] NOT NULL,
	"created" timestamp with time zone NOT NULL,
	"expires" timestamp with time zone NOT NULL,
	"revoked" timestamp with time zone,
	CONSTRAINT "grants_token" UNIQUE("token_sha256")
);
--> statement-breakpoint
CREATE TABLE "pending" (
	"pseq" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "pending_pseq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"id" uuid NOT NULL,
	"leaf_hash" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "peps" (
	"id" text PRIMARY KEY NOT NULL,
	"key_sha256" text NOT NULL,
	"servers" text[] NOT NULL,
	"created" timestamp with time zone NOT NULL,
	"revoked" timestamp with time zone,
	CONSTRAINT "peps_key" UNIQUE("key_sha256")
);
--> statement-breakpoint
CREATE TABLE "record" (
	"id" uuid PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"leaf" "bytea" NOT NULL,
	"leaf_hash" "bytea" NOT NULL,
	"sig" "bytea" NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"epoch" uuid NOT NULL,
	"seq" bigint NOT NULL,
	"pep" text,
	"agent" text,
	"server" text,
	"method" text,
	"tool" text,
	"verdict" text,
	"code" text,
	"policies" text[],
	"bundle" text,
	"mode" text,
	"decision" uuid,
	"person" "bytea"
);
--> statement-breakpoint
CREATE TABLE "record_detail" (
	"id" uuid PRIMARY KEY NOT NULL,
	"key_ref" bigint NOT NULL,
	"ct" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "subject_key" (
	"ref" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "subject_key_ref_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"person" "bytea" NOT NULL,
	"month" text NOT NULL,
	"wrapped" "bytea" NOT NULL,
	CONSTRAINT "subject_key_person_month" UNIQUE("person","month")
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" text PRIMARY KEY NOT NULL,
	"teams" text[] NOT NULL,
	"created" timestamp with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "grants" ADD CONSTRAINT "grants_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "grants_revoked" ON "grants" USING btree ("revoked") WHERE revoked is not null;--> statement-breakpoint
CREATE INDEX "record_epoch_seq" ON "record" USING btree ("epoch","seq");--> statement-breakpoint
CREATE INDEX "record_decision" ON "record" USING btree ("decision") WHERE decision is not null;--> statement-breakpoint
CREATE INDEX "record_person" ON "record" USING btree ("person","id") WHERE person is not null;