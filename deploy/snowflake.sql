-- An administrator of the Snowflake account runs this file once. It creates a database, a small
-- warehouse and a service user with only the rights that the project needs. Airbyte's destination
-- uses the same user.
-- Insert the service's public key below first. To make a key pair:
--   openssl genrsa 2048 | openssl pkcs8 -topk8 -nocrypt -out snowflake.pem
--   openssl rsa -in snowflake.pem -pubout
-- The first command writes the private key, the value of SNOWFLAKE_PRIVATE_KEY; the second one
-- prints the public key.
USE ROLE ACCOUNTADMIN;

CREATE DATABASE IF NOT EXISTS POLYGON;
CREATE WAREHOUSE IF NOT EXISTS POLYGON_WH
    WAREHOUSE_SIZE = XSMALL
    AUTO_SUSPEND = 60
    AUTO_RESUME = TRUE
    INITIALLY_SUSPENDED = TRUE;

CREATE ROLE IF NOT EXISTS POLYGON_ROLE;
GRANT USAGE ON WAREHOUSE POLYGON_WH TO ROLE POLYGON_ROLE;
GRANT USAGE, CREATE SCHEMA ON DATABASE POLYGON TO ROLE POLYGON_ROLE;

CREATE USER IF NOT EXISTS POLYGON_SERVICE
    TYPE = SERVICE
    DEFAULT_ROLE = POLYGON_ROLE
    DEFAULT_WAREHOUSE = POLYGON_WH
    RSA_PUBLIC_KEY = '<public key without its first and last line>';
GRANT ROLE POLYGON_ROLE TO USER POLYGON_SERVICE;
