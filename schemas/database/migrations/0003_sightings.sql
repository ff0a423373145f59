CREATE TABLE "definition" (
	"sha256" text PRIMARY KEY NOT NULL,
	"content" text
);
--> statement-breakpoint
CREATE TABLE "look" (
	"server" text PRIMARY KEY NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"tools" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sighting" (
	"server" text NOT NULL,
	"tool" text NOT NULL,
	"sha256" text NOT NULL,
	"first_seen" timestamp with time zone NOT NULL,
	"last_seen" timestamp with time zone NOT NULL,
	CONSTRAINT "sighting_server_tool_sha256_pk" PRIMARY KEY("server","tool","sha256")
);
--> statement-breakpoint
CREATE INDEX "sighting_sha256" ON "sighting" USING btree ("sha256");
--> statement-breakpoint
-- The writer of records has no business here.
REVOKE ALL ON "definition", "sighting", "look" FROM PUBLIC, "cedargate_pep";
